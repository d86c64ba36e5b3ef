/* SPDX-License-Identifier: GPL-2.0-or-later */
/* demangle.h - what people wrote, of the names that compilers make. */
#ifndef ELF_DEMANGLE_H
#define ELF_DEMANGLE_H

/* Demangles C++, Rust and D names; returns `name` itself if it is not mangled. The result is
 * malloc'ed in *ret_owned when it is a new string (free it), else *ret_owned is NULL. */
const char *demangle__name(const char *name, char **ret_owned);

#endif
