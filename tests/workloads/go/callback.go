// SPDX-License-Identifier: GPL-2.0-or-later
// Go that calls C which allocates, and C that calls Go which calls C which allocates.
package main

/*
#include <stdlib.h>
extern void goCallback(int);
static void *keep[1000];
static void *c_alloc(int i) { return keep[i] = malloc(3000 + i); }
static void c_calls_go(int i) { goCallback(i); }
*/
import "C"
import (
	"bufio"
	"fmt"
	"os"
)

//go:noinline
func goCaller(i int) {
	C.c_alloc(C.int(i))
}

//export goCallback
func goCallback(i C.int) {
	goInside(int(i))
}

//go:noinline
func goInside(i int) {
	C.c_alloc(C.int(i))
}

func main() {
	r := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	r.ReadString('\n')
	for i := 0; i < 100; i++ {
		goCaller(i)
	}
	for i := 0; i < 100; i++ {
		C.c_calls_go(C.int(i + 100))
	}
	fmt.Println("done")
	r.ReadString('\n')
}
