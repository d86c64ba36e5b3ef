/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overlay.h - what bpf/probe_layers.bpf.c is asked of an open file, and answers. */
#ifndef MEMWATCH_OVERLAY_H
#define MEMWATCH_OVERLAY_H

/* Numbers of 64 bits each. Where an overlay has what lies below it, bytes: in struct ovl_fs the
 * number of those file systems and the array of them; an element's size and its super block. */
enum mw_layers_arg {
	MW_LAYERS_FD,
	MW_LAYERS_COUNT_AT,
	MW_LAYERS_ARRAY_AT,
	MW_LAYERS_SIZE, /* 0: not known */
	MW_LAYERS_SB_AT,
	MW_LAYERS_ARGS,
};

enum mw_layers_answer {
	MW_LAYERS_ANOTHERS, /* or nobody can say */
	MW_LAYERS_OURS,	    /* all of it is the kernel's own, or of whoever mounts for all */
	MW_LAYERS_BELOW,    /* what lies below decides, and where it stands was not said */
};

#endif
