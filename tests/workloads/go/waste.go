// SPDX-License-Identifier: GPL-2.0-or-later

// waste: memory and time that the runtime wastes in a way that memwatch names. Its argument: "lazy"
// frees 200 MB and returns them to the kernel; "full" allocates above what GOMEMLIMIT allows.
package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

type pool struct{ blocks [][]byte }

//go:noinline
func (p *pool) fill(n, size int) {
	for i := 0; i < n; i++ {
		b := make([]byte, size)
		for at := 0; at < size; at += 4096 {
			b[at] = 1
		}
		p.blocks = append(p.blocks, b)
	}
}

func main() {
	var p pool
	var records [1]runtime.MemProfileRecord

	runtime.MemProfile(records[:], true) // so that the linker leaves profiling on
	if os.Args[1] == "lazy" {
		p.fill(25, 8<<20)
		p.blocks = nil
		debug.FreeOSMemory()
		p.fill(4, 1<<20)
		os.Stdout.WriteString("ready\n")
		os.Stdin.Read(make([]byte, 1))
		runtime.KeepAlive(p)
		return
	}
	p.fill(300, 100<<10)
	runtime.GC()
	os.Stdout.WriteString("ready\n")
	for {
		p.fill(1, 64<<10)
		p.blocks = p.blocks[1:]
	}
}
