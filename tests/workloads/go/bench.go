// SPDX-License-Identifier: GPL-2.0-or-later

// bench: an allocation-heavy program. With "buckets N" it makes N call stacks that allocate, says
// "ready" and waits for its stdin to end. With "work" it does one fixed piece of work for each
// line on stdin and answers with the nanoseconds that it took: by the clock, and of CPU time.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func init() {
	if rate, err := strconv.Atoi(os.Getenv("BENCH_RATE")); err == nil {
		runtime.MemProfileRate = rate
	}
}

type node struct {
	left, right *node
	data        [40]byte
}

var kept [][]byte
var root *node

// left and right make 2^depth different stacks.
//
//go:noinline
func left(path, depth, size int) { branch(path, depth, size) }

//go:noinline
func right(path, depth, size int) { branch(path, depth, size) }

//go:noinline
func branch(path, depth, size int) {
	if depth == 0 {
		kept = append(kept, make([]byte, size))
		return
	}
	if path&1 == 0 {
		left(path>>1, depth-1, size)
	} else {
		right(path>>1, depth-1, size)
	}
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: tree(depth - 1), right: tree(depth - 1)}
}

func work() {
	for i := 0; i < 12; i++ {
		root = tree(15)
		m := map[string][]byte{}
		for k := 0; k < 3000; k++ {
			m["key "+strconv.Itoa(k)] = make([]byte, 200)
		}
	}
}

func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	if os.Args[1] == "buckets" {
		n, _ := strconv.Atoi(os.Args[2])
		kept = make([][]byte, 0, n)
		for i := 0; i < n; i++ {
			branch(i, 14, 512+i%7*64)
		}
		runtime.GC()
		runtime.GC()
		fmt.Println("ready")
		in.Scan()
		return
	}
	runtime.GC()
	fmt.Println("ready")
	for in.Scan() {
		start, cpu := time.Now(), cpuTime()
		work()
		fmt.Println(time.Since(start).Nanoseconds(), cpuTime()-cpu)
	}
}
