/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jealloc.h - the tiny prefixed allocator of jealloc.c. */
#ifndef JEALLOC_H
#define JEALLOC_H

#include <stddef.h>

void *je_malloc(size_t size);
void *je_calloc(size_t n, size_t size);
void *je_realloc(void *old, size_t size);
void je_free(void *p);
void own_work(unsigned long *objects, unsigned long *bytes);
extern volatile int je_signal_inside;

#endif
