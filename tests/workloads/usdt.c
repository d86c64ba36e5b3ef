/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usdt.c - a program that samples its own allocations and tells of the samples as the contract
 * says: USDT probes otel_memory:alloc(pointer, size, weight) and otel_memory:free(pointer), a
 * semaphore each, nothing counted while they are down. "ready ALLOC FREE" are the semaphores'
 * addresses; after each line on stdin one round, whose own numbers are in the line "done {...}";
 * ends at "end". "fork": a child that waits ("child PID") until "reap". LONG_NOP: probes on nops
 * that must not be touched; NO_NAMES: no operand names a variable. LIBRARY: a library that is
 * opened late.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERVAL 65536
#define SAMPLES 4096

#define PROBES __attribute__((section(".probes"), used, aligned(2)))
PROBES volatile unsigned short otel_memory_alloc_semaphore;
PROBES volatile unsigned short otel_memory_free_semaphore;

#ifdef LONG_NOP
#define NOP ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00"
#else
#define NOP "nop"
#endif

#define NOTE(name, operands)                                                        \
	"990: " NOP "\n"                                                            \
	".pushsection .note.stapsdt, \"\", \"note\"\n"                              \
	".balign 4\n"                                                               \
	".4byte 992f-991f, 994f-993f, 3\n"                                          \
	"991: .asciz \"stapsdt\"\n"                                                 \
	"992: .balign 4\n"                                                          \
	"993: .8byte 990b, _.stapsdt.base, otel_memory_" name "_semaphore\n"        \
	".asciz \"otel_memory\"\n"                                                  \
	".asciz \"" name "\"\n"                                                     \
	".asciz \"" operands "\"\n"                                                 \
	"994: .balign 4\n"                                                          \
	".popsection\n"                                                             \
	".ifndef _.stapsdt.base\n"                                                  \
	".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n" \
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"                            \
	"_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n"                       \
	".popsection\n"                                                             \
	".endif\n"

struct function {
	const char *name;
	uint64_t objects, bytes, freed_objects, freed_bytes, samples;
};

static struct function held = {.name = "hold"}, churned = {.name = "churn"},
		       vast = {.name = "hold_large"};

static struct {
	void *p;
	uint64_t size, weight;
	struct function *by;
} sampled[SAMPLES];
static uint64_t until = INTERVAL;

/* How many boundaries the stream of bytes has crossed, in bytes. */
static uint64_t draw(uint64_t size)
{
	uint64_t weight = 0;

	while (size >= until) {
		size -= until;
		until = INTERVAL;
		weight += INTERVAL;
	}
	until -= size;
	return weight;
}

static void note_sample(struct function *by, void *p, uint64_t size, uint64_t weight)
{
	for (int i = 0; i < SAMPLES; i++) {
		if (sampled[i].p)
			continue;
		sampled[i].p = p;
		sampled[i].size = size;
		sampled[i].weight = weight;
		sampled[i].by = by;
		by->samples++;
		by->objects += weight / size;
		by->bytes += weight;
		return;
	}
	abort();
}

/* Probes in two places with operands of several kinds: registers, memory, another width. */
static inline __attribute__((always_inline)) void *take(struct function *by, uint64_t size)
{
	void *p = malloc(size);
	uint64_t weight;

	if (!otel_memory_alloc_semaphore)
		return p;
	weight = draw(size);
	if (!weight)
		return p;
	note_sample(by, p, size, weight);
	__asm__ volatile(NOTE("alloc", "8@%[p] 8@%[size] 8@%[weight]")::[p] "r"(p),
			 [size] "m"(size), [weight] "r"(weight));
	return p;
}

static uint64_t the_weight;

static void *take_large(struct function *by, int size)
{
	void *p = malloc((size_t)size);

	if (!otel_memory_alloc_semaphore)
		return p;
	the_weight = draw((uint64_t)size);
	if (!the_weight)
		return p;
	note_sample(by, p, (uint64_t)size, the_weight);
	__asm__ volatile(NOTE("alloc", "8@%[p] -4@%[size] 8@%[weight]")
#ifdef NO_NAMES
				 ::[p] "m"(p),
			 [size] "r"(size), [weight] "r"(the_weight));
#else
				 ::[p] "m"(p),
			 [size] "r"(size), [weight] "m"(the_weight));
#endif
	return p;
}

static void give(void *p)
{
	for (int i = 0; otel_memory_free_semaphore && i < SAMPLES; i++) {
		if (sampled[i].p != p)
			continue;
		sampled[i].by->freed_objects += sampled[i].weight / sampled[i].size;
		sampled[i].by->freed_bytes += sampled[i].weight;
		sampled[i].p = NULL;
		__asm__ volatile(NOTE("free", "8@%[p]")::[p] "r"(p));
		break;
	}
	free(p);
}

__attribute__((noinline)) void hold(void)
{
	for (int i = 0; i < 10000; i++) {
		void *volatile p = take(&held, 1024);

		(void)p;
	}
}

__attribute__((noinline)) void hold_large(void)
{
	for (int i = 0; i < 10; i++) {
		void *volatile p = take_large(&vast, 4 * INTERVAL);

		(void)p;
	}
}

__attribute__((noinline)) void churn(void)
{
	for (int i = 0; i < 20000; i++)
		give(take(&churned, 512));
}

static void say(const struct function *f, const char *sep)
{
	printf("\"%s\":{\"samples\":%lu,\"alloc_objects\":%lu,\"alloc_bytes\":%lu,"
	       "\"inuse_objects\":%lu,\"inuse_bytes\":%lu}%s",
	       f->name, f->samples, f->objects, f->bytes, f->objects - f->freed_objects,
	       f->bytes - f->freed_bytes, sep);
}

static void tell_round(void)
{
	hold();
	hold_large();
	churn();
	printf("done {\"functions\":{");
	say(&held, ",");
	say(&vast, ",");
	say(&churned, "}}\n");
	fflush(stdout);
}

#ifndef LIBRARY
/* True if the line was about a child. */
static int is_about_child(const char *line)
{
	static pid_t child;

	if (!strcmp(line, "fork\n")) {
		child = fork();
		if (!child) {
			for (;;)
				pause();
		}
		printf("child %d\n", child);
		return 1;
	}
	if (strcmp(line, "reap\n"))
		return 0;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	puts("reaped");
	return 1;
}
#endif

#ifdef LIBRARY
void late_work(unsigned long rounds);

/* For lateload.c: waits until somebody listens. */
void late_work(unsigned long rounds)
{
	while (!otel_memory_alloc_semaphore || !otel_memory_free_semaphore)
		usleep(1000);
	while (rounds--)
		tell_round();
}
#else
int main(void)
{
	char line[64], out[2048];

	setvbuf(stdout, out, _IOLBF, sizeof(out));
	printf("ready %lx %lx\n", (unsigned long)&otel_memory_alloc_semaphore,
	       (unsigned long)&otel_memory_free_semaphore);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n")) {
		if (is_about_child(line))
			continue;
		tell_round();
	}
	return 0;
}
#endif
