/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * services.c - what helper processes (sys/box.h) can do, and the moment at which a process finds
 * out that it was executed to start them: before main(), so that it holds for every program that
 * this is linked into.
 */
#include "elf/alloc_box.h"
#include "elf/jitserve.h"
#include "elf/symserve.h"
#include "elf/unwind_box.h"
#include "go/layout.h"
#include "sys/box.h"

const box_serve_fn box__services[BOX_SERVICES] = {
	[BOX_SYMBOLS] = symserve__serve,
	[BOX_UNWIND] = unwind_box__serve,
	[BOX_ALLOCS] = alloc_box__serve,
	[BOX_GO_LAYOUT] = go_layout__serve,
	[BOX_JIT] = jitserve__serve,
};

__attribute__((constructor)) static void begin(int argc, char **argv, char **env)
{
	box__serve_if_asked(argc, argv);
}
