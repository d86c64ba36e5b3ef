// SPDX-License-Identifier: GPL-2.0-or-later
/* A library with more code than is looked at in a moment; works at once when it has been opened. */
#include <stdlib.h>
#include "wl.h"

/* 2,048 functions that each have rows of their own. */
#define ONE(a, b, c, d)                                                  \
	WL_NOINLINE int filler_##a##b##c##d(int n)                       \
	{                                                                \
		volatile char room[(a + 1) * 64 + b * 8 + 16];           \
		room[0] = n;                                             \
		return n ? filler_##a##b##c##d(n - 1) + room[0] + c : d; \
	}
#define ROW(a, b, c)                                                                          \
	int filler_##a##b##c##0(int), filler_##a##b##c##1(int), filler_##a##b##c##2(int),     \
		filler_##a##b##c##3(int), filler_##a##b##c##4(int), filler_##a##b##c##5(int), \
		filler_##a##b##c##6(int), filler_##a##b##c##7(int);                           \
	ONE(a, b, c, 0)                                                                       \
	ONE(a, b, c, 1)                                                                       \
	ONE(a, b, c, 2) ONE(a, b, c, 3) ONE(a, b, c, 4) ONE(a, b, c, 5) ONE(a, b, c, 6)       \
		ONE(a, b, c, 7)
#define BLOCK(a, b)  \
	ROW(a, b, 0) \
	ROW(a, b, 1) ROW(a, b, 2) ROW(a, b, 3) ROW(a, b, 4) ROW(a, b, 5) ROW(a, b, 6) ROW(a, b, 7)
#define PART(a)     \
	BLOCK(a, 0) \
	BLOCK(a, 1) BLOCK(a, 2) BLOCK(a, 3) BLOCK(a, 4) BLOCK(a, 5) BLOCK(a, 6) BLOCK(a, 7)
PART(0)
PART(1)
PART(2) PART(3)

	void late_work(unsigned long n);

WL_NOINLINE static void late_inner(void)
{
	wl_keep(malloc(wl_size(777)));
}

/* A frame that the frame pointer does not lead out of, with an array that nobody touches. */
WL_NOINLINE void late_work(unsigned long n)
{
	volatile char room[40000];

	room[0] = 1;
	for (unsigned long i = 0; i < n; i++)
		late_inner();
	room[1] = room[0];
}
