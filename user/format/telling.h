/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * telling.h - which frame of a stack tells something: the first that is neither an allocator's, nor
 * a wrapper of one (xmalloc, g_strdup, operator new, std::vector's growth, Rust's alloc), nor a
 * runtime library's. For labels; profiles keep every frame.
 */
#ifndef FORMAT_TELLING_H
#define FORMAT_TELLING_H

#include <stdbool.h>

#include "model/profile.h"

/* A function's name, demangled or not, says no more than that memory was asked for. */
bool telling__is_wrapper(const char *function);
/* A file of the C, C++ or another runtime library, or of an allocator. */
bool telling__is_runtime(const char *path);

/* Number of leading frames (inlined ones are frames) of the sample that tell nothing; 0 if all of
 * them do: then the innermost is as good as any. */
unsigned telling__skip(const struct profile *p, const struct profile_sample *s);

#endif
