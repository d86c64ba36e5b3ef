/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
/*
 * jvm.h - code that HotSpot, the virtual machine of Java, generates: how large its frames are.
 *
 * Compiled methods keep anything in the frame pointer's register, and no table tells of them; but
 * each has a frame of one size, which the machine itself reads from the head of the code's block to
 * walk a stack. A heap of code is divided into segments, with a byte for each that tells how far
 * before it its block begins. Userspace finds heaps and offsets (user/probe/hotspot.c); both sides
 * compile jvm_frame_words().
 *
 * Who uses the function defines JVM_READ(arg, dst, n, at) before: n bytes of the process; 0 or not
 * readable.
 */
#ifndef MEMWATCH_JVM_H
#define MEMWATCH_JVM_H

#define MW_JVM_HEAPS 4 /* HotSpot has at most three */
#define MW_JVM_HOPS 64 /* each over up to 254 segments: a method of 2 MB */
#define MW_JVM_MAX_WORDS (1 << 16)
#define MW_JVM_INTERPRETED (~0u) /* a frame of the interpreter's: fp leads to it */

struct mw_jvm_heap {
	__u64 low, high; /* of its code */
	__u64 segments;	 /* the bytes of the segments */
};

struct mw_jvm {
	__u64 interpreter, interpreter_end;
	struct mw_jvm_heap heap[MW_JVM_HEAPS];
	__u32 n_heaps;
	__u32 segment_shift;
	__u32 frame_size; /* offset in a block of the size of its frames, an int in words */
	__u32 pad;
};

/* Is the address in code that HotSpot generated? */
static inline __attribute__((always_inline)) int jvm_holds(const struct mw_jvm *j, __u64 pc)
{
	for (__u32 k = 0; k < MW_JVM_HEAPS; k++) {
		if (k < j->n_heaps && pc - j->heap[k].low < j->heap[k].high - j->heap[k].low)
			return 1;
	}
	return 0;
}

#endif
#if defined(JVM_READ) && !defined(MEMWATCH_JVM_FRAME_WORDS)
#define MEMWATCH_JVM_FRAME_WORDS

/* Words that a frame of the code at pc has, with the return address and the saved frame pointer
 * above the rest; 0: no such code, or its frames are not of one size. */
static inline __attribute__((always_inline)) __u32 jvm_frame_words(const struct mw_jvm *j,
								   void *arg, __u64 pc)
{
	__u64 low = 0, segments = 0, i;
	__u8 hop = 0;
	__s32 words = 0;

	if (pc - j->interpreter < j->interpreter_end - j->interpreter)
		return MW_JVM_INTERPRETED;
	for (__u32 k = 0; k < MW_JVM_HEAPS; k++) {
		if (k < j->n_heaps && pc - j->heap[k].low < j->heap[k].high - j->heap[k].low) {
			low = j->heap[k].low;
			segments = j->heap[k].segments;
		}
	}
	if (!low)
		return 0;
	i = (pc - low) >> (j->segment_shift & 63);
	for (int k = 0; k < MW_JVM_HOPS; k++) {
		if (JVM_READ(arg, &hop, sizeof(hop), segments + i) || hop == 0xff || hop > i)
			return 0; /* no block is there */
		if (!hop)
			break;
		i -= hop;
	}
	if (hop || JVM_READ(arg, &words, sizeof(words),
			    low + (i << (j->segment_shift & 63)) + j->frame_size))
		return 0;
	return words >= 2 && words < MW_JVM_MAX_WORDS ? words : 0;
}

#endif
