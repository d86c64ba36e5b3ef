/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * services.c - what helper processes (sys/box.h) can do, and the moment at which a process finds
 * out that it was executed to start them: before main(), so that it holds for every program that
 * this is linked into.
 */
#include "elf/alloc_box.h"
#include "elf/disasm.h"
#include "elf/jitserve.h"
#include "elf/symserve.h"
#include "elf/unwind_box.h"
#include "fast/fast_box.h"
#include "go/go_serve.h"
#include "http/server.h"
#include "snapshot/heap_box.h"
#include "sys/box.h"
#include "sys/selfexec.h"

const box_serve_fn box__services[BOX_SERVICES] = {
	[BOX_SYMBOLS] = symserve__serve, [BOX_UNWIND] = unwind_box__serve,
	[BOX_ALLOCS] = alloc_box__serve, [BOX_GO] = go_serve__serve,
	[BOX_FAST] = fast_box__serve,	 [BOX_HEAP] = heap_box__serve,
	[BOX_JIT] = jitserve__serve,	 [BOX_DISASM] = disasm__serve,
};

const bool selfexec__serves = true;

__attribute__((constructor)) static void begin(int argc, char **argv, char **env)
{
	box__serve_if_asked(argc, argv);
	server__serve_if_asked(argc, argv);
}
