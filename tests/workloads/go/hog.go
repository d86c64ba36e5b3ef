// SPDX-License-Identifier: GPL-2.0-or-later

// hog: keeps everything it allocates, 5 MB at each line on stdin.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
)

var kept [][]byte

//go:noinline
func hoard() {
	for i := 0; i < 50; i++ {
		b := make([]byte, 100000)
		for j := range b {
			b[j] = 1
		}
		kept = append(kept, b)
	}
}

func main() {
	pprof.Lookup("heap").WriteTo(io.Discard, 0) // keeps heap profiling linked in
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		hoard()
		fmt.Println("ready")
	}
}
