/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sample.h - sampling by bytes without state.
 *
 * Go and tcmalloc draw exponential gaps in the stream of allocated bytes and sample the
 * allocation in which a gap ends. The exponential distribution has no memory, so whether one
 * allocation of n bytes is sampled does not depend on those before it: its probability is
 * 1 - exp(-n/rate), independently. Drawing that directly gives the same distribution with no
 * counter to keep per thread. Userspace divides by the same probability.
 */
#ifndef BPF_SAMPLE_H
#define BPF_SAMPLE_H

#ifndef __bpf__
#include <stdint.h>
typedef uint64_t u64;
typedef uint32_t u32;
#endif

/* exp(-k) for k = 0, 1, 2, … as 32-bit fractions. */
static const u32 sample_exp_int[] = {
	0xffffffff, 0x5e2d58d9, 0x22a55547, 0x0cbed866, 0x04b0556e, 0x01b993fe,
	0x00a27290, 0x003bc2d7, 0x0015fc21, 0x00081679, 0x0002f9af, 0x00011835,
	0x00006715, 0x000025ec, 0x00000df3, 0x00000522, 0x000001e3, 0x000000b2,
	0x00000041, 0x00000018, 0x00000009, 0x00000003, 0x00000001,
};
#define SAMPLE_EXP_INT (sizeof(sample_exp_int) / sizeof(sample_exp_int[0]))

/*
 * (1 - exp(-x)) / x for 0 <= x < 1, x and the result as 32-bit fractions; the series
 * 1 - x/2 + x²/6 - x³/24 + …, error below 2^-20.
 */
static inline __attribute__((always_inline)) u64 sample_ratio(u64 x)
{
	u64 one = 1ULL << 32, r;

	/* Horner from the inside: 1 - x/2 (1 - x/3 (1 - x/4 (… ))) */
	r = one - x / 10;
	r = one - (x * (r >> 1) >> 31) / 9;
	r = one - (x * (r >> 1) >> 31) / 8;
	r = one - (x * (r >> 1) >> 31) / 7;
	r = one - (x * (r >> 1) >> 31) / 6;
	r = one - (x * (r >> 1) >> 31) / 5;
	r = one - (x * (r >> 1) >> 31) / 4;
	r = one - (x * (r >> 1) >> 31) / 3;
	r = one - (x * (r >> 1) >> 31) / 2;
	return r;
}

/* Probability, as a 32-bit fraction, with which `size` bytes are sampled: 1 - exp(-size/rate).
 * rate > 1. The quick test of sample_decide applies it in two steps. */
static inline __attribute__((always_inline)) u64 sample_exp_neg(u64 x_int, u64 x_frac)
{
	u64 e = (1ULL << 32) - (x_frac * (sample_ratio(x_frac) >> 1) >> 31); /* exp(-frac) */

	if (x_int >= SAMPLE_EXP_INT)
		return 0;
	return (u64)sample_exp_int[x_int] * (e >> 1) >> 31;
}

static inline __attribute__((always_inline)) void sample_quotient(u64 size, u64 rate, u64 *x_int,
								  u64 *x_frac)
{
	u64 rest;

	*x_int = size / rate;
	rest = size - *x_int * rate;
	/* rest < rate; keep the shifted value inside 64 bits. */
	if (rate >> 32) {
		rest >>= 20;
		rate >>= 20;
	}
	*x_frac = (rest << 32) / rate;
	if (*x_frac >> 32)
		*x_frac = (1ULL << 32) - 1;
}

#ifdef __bpf__
/* Nearly every allocation is far smaller than the rate and leaves at the first comparison:
 * 1 - exp(-x) <= x. One that passes is thinned by (1 - exp(-x)) / x. */
static __always_inline u32 sample_decide(u64 size, u64 rate)
{
	u64 x_int, x_frac;

	if (rate <= 1)
		return 1;
	if (!size)
		size = 1; /* malloc(0) is a block too */
	if (size < rate && !(rate >> 32)) {
		if ((u64)bpf_get_prandom_u32() * rate >= size << 32)
			return 0;
		sample_quotient(size, rate, &x_int, &x_frac);
		return (u64)bpf_get_prandom_u32() < sample_ratio(x_frac);
	}
	sample_quotient(size, rate, &x_int, &x_frac);
	if (!x_int) {
		if ((u64)bpf_get_prandom_u32() >= x_frac)
			return 0;
		return (u64)bpf_get_prandom_u32() < sample_ratio(x_frac);
	}
	return (u64)bpf_get_prandom_u32() >= sample_exp_neg(x_int, x_frac);
}
#endif

#endif
