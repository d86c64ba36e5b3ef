// SPDX-License-Identifier: GPL-2.0-or-later

// noprof: uses nothing of the heap profile, so that the linker switches it off. At each line on
// stdin it allocates, collects garbage, and says "ready".
package main

import (
	"bufio"
	"os"
	"runtime"
)

var kept [][]byte

//go:noinline
func grow() {
	for i := 0; i < 3000; i++ {
		kept = append(kept, make([]byte, 8000))
	}
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	os.Stdout.WriteString("ready\n")
	for in.Scan() {
		grow()
		runtime.GC()
		os.Stdout.WriteString("ready\n")
	}
}
