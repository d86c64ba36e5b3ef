// SPDX-License-Identifier: GPL-2.0-or-later

// heapgen allocates from several call paths (inlined, recursive, closures, generic, methods),
// frees a part, and writes heap and allocs profiles at two moments into the directory given.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

type cache struct{ entries map[string][]byte }

var (
	kept  [][]byte
	texts []string
	c     = &cache{entries: map[string][]byte{}}
)

func small() []byte { return make([]byte, 3000) } // inlined

func medium(n int) []byte { return small2(n) }

func small2(n int) []byte { b := make([]byte, n); b[0] = 1; return b }

func (c *cache) put(k string, n int) {
	c.entries[k] = make([]byte, n)
}

//go:noinline
func recurse(depth, size int) {
	if depth == 0 {
		kept = append(kept, make([]byte, size))
		return
	}
	recurse(depth-1, size)
}

func generic[T any](n int) []T { return make([]T, n) }

var ints [][]int64

//go:noinline
func churn(n int) int {
	total := 0
	for i := 0; i < n; i++ {
		var b bytes.Buffer
		b.WriteString(strings.Repeat("x", 20000))
		total += b.Len()
	}
	return total
}

//go:noinline
func work(round int) {
	for i := 0; i < 300; i++ {
		kept = append(kept, small())
		kept = append(kept, medium(5000+i))
		recurse(i%7, 2000)
		c.put(fmt.Sprintf("k%d-%d", round, i), 7000)
		func() { texts = append(texts, strings.Repeat("t", 1500)) }()
		ints = append(ints, generic[int64](400))
	}
	churn(200)
}

func write(dir, name, kind string) {
	runtime.GC()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		panic(err)
	}
	if err := pprof.Lookup(kind).WriteTo(f, 0); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
}

func main() {
	runtime.MemProfileRate = 4096
	dir := os.Args[1]
	work(0)
	write(dir, "heap1.pb.gz", "heap")
	write(dir, "allocs1.pb.gz", "allocs")
	kept = kept[len(kept)/2:] // the second moment has less of some stacks
	kept = append([][]byte(nil), kept...)
	c.entries = map[string][]byte{}
	work(1)
	write(dir, "heap2.pb.gz", "heap")
	write(dir, "allocs2.pb.gz", "allocs")
}
