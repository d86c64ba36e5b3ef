// SPDX-License-Identifier: GPL-2.0-or-later

// cgoleak: at each word on stdin leaks memory on the C side (exactly 1000 blocks of 10000 bytes)
// and keeps some on the Go side; then says "ready".
package main

/*
#include <stdlib.h>
#include <string.h>

static void *kept[1 << 16];
static int nkept;

__attribute__((noinline)) void c_leak(int n, size_t size)
{
	for (int i = 0; i < n; i++) {
		void *p = malloc(size);
		memset(p, 1, size);
		kept[nkept++ & 0xffff] = p;
	}
}
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

var kept [][]byte

//go:noinline
func goKeep() {
	for i := 0; i < 500; i++ {
		kept = append(kept, make([]byte, 20000))
	}
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		C.c_leak(1000, 10000)
		goKeep()
		runtime.GC()
		f, err := os.Create(os.Args[1])
		if err != nil {
			panic(err)
		}
		pprof.Lookup("heap").WriteTo(f, 0)
		f.Close()
		fmt.Println("ready")
	}
}
