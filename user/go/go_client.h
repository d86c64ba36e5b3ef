/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_client.h - asks a helper without privileges (go_serve.h) what a Go program's tables and memory
 * say, and believes no length, index or text of its answers. Numbers are taken as they are: they
 * are shown, and where they are addresses, they are addresses of the target's own.
 *
 * All return 0 or a negative errno: the helper's word on the program, or, it being gone or of no
 * use, as box_helper__receive; then the client is closed.
 */
#ifndef GO_GO_CLIENT_H
#define GO_GO_CLIENT_H

#include "go/go_serve.h"
#include "sys/box.h"

struct go_client {
	struct box_helper *h; /* NULL: closed; all zero at the beginning */
	int samples;	      /* the file that its samples come in, + 1; 0: none yet */
	uint64_t past_cpu_ns; /* of helpers before */
};

/* Samples with names, as bytes of model/profile_packed.h. */
struct go_samples {
	void *data; /* malloc'ed */
	size_t len;
};

/* 1: the file is a Go program; 0: it is not. */
int go_client__is_go(int exe, const struct box_target *whose);

/* src and mem (whose helper's side src->mem is) are borrowed. facts->stage and version are filled
 * in on failure, too, as far as they are known. The helper stays for another try. */
int go_client__open(struct go_client *c, const struct go_source *src, const struct procmem *mem,
		    const struct box_target *whose, struct go_facts *ret);
void go_client__close(struct go_client *c);

/* Processor time of all its helpers, ns. */
uint64_t go_client__cpu_ns(const struct go_client *c);

/* maps: /proc/PID/maps, -1: as before. ret_samples is freed by the caller. */
int go_client__heap(struct go_client *c, int maps, struct go_heap_facts *ret,
		    struct go_samples *ret_samples);
int go_client__goroutines(struct go_client *c, struct go_goroutines_count *ret,
			  struct go_samples *ret_samples);
int go_client__memstats(struct go_client *c, bool goroutines, struct go_numbers *ret);

#endif
