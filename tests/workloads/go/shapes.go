// SPDX-License-Identifier: GPL-2.0-or-later

// shapes: a Go program whose heap is made in the ways Go programs make it. At each word "go" on
// stdin it does one more round, writes what its own runtime says about itself below the directory
// given (heap profile, goroutine profile, MemStats), and says "ready".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
)

type inner struct{ data [100]byte }
type outer struct {
	inner
	next *outer
}

type shelf[T any] struct{ items []T }

func (s *shelf[T]) put(v T) { s.items = append(s.items, v) }

type maker interface{ build(n int) []byte }
type viaValue struct{ pad int }

func (v viaValue) build(n int) []byte { return make([]byte, n) }

var (
	mu      sync.Mutex
	slices  [][]byte
	growing []int
	leaking = map[string][]byte{}
	list    *outer
	words   []string
	shelves shelf[[64]int64]
	sink    []byte
	blocked = make(chan int)
	made    [][]byte
)

// Small functions that the compiler inlines: a chain of three calls in one frame.
func inlinedLeaf(n int) []byte   { return make([]byte, n) }
func inlinedMiddle(n int) []byte { return inlinedLeaf(n * 2) }
func inlinedTop(n int) []byte    { return inlinedMiddle(n + 1) }

//go:noinline
func deep(n int) []byte {
	if n == 0 {
		return make([]byte, 3000)
	}
	b := deep(n - 1)
	return b
}

func growSlices() {
	for i := 0; i < 300; i++ {
		slices = append(slices, make([]byte, 4000+i))
	}
	for i := 0; i < 100000; i++ {
		growing = append(growing, i)
	}
}

func leakMap(round int) {
	for i := 0; i < 2000; i++ {
		leaking[fmt.Sprintf("key-%d-%d", round, i)] = make([]byte, 500)
	}
}

func embed() {
	for i := 0; i < 3000; i++ {
		list = &outer{next: list}
	}
}

func build() {
	for i := 0; i < 300; i++ {
		words = append(words, strings.Repeat("memory ", 200+i%7))
		slices = append(slices, inlinedTop(1500))
		shelves.put([64]int64{int64(i)})
	}
	slices = append(slices, deep(5), deep(40))
}

func wrapped(m maker) {
	for i := 0; i < 300; i++ {
		made = append(made, m.build(2000))
	}
}

func garbage() {
	for i := 0; i < 5000; i++ {
		sink = make([]byte, 1000+i%3000)
	}
}

func leakGoroutines(n int) {
	var up sync.WaitGroup
	for i := 0; i < n; i++ {
		up.Add(1)
		go func() {
			up.Done()
			<-blocked
		}()
	}
	up.Wait()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func write(dir, name string, fn func(f *os.File)) {
	f, err := os.Create(filepath.Join(dir, name))
	check(err)
	fn(f)
	check(f.Close())
}

func init() {
	if rate, err := strconv.Atoi(os.Getenv("SHAPES_RATE")); err == nil {
		runtime.MemProfileRate = rate
	}
}

func main() {
	dir := os.Args[1]
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for round := 0; in.Scan(); round++ {
		switch in.Text() {
		case "go":
			growSlices()
			leakMap(round)
			embed()
			build()
			wrapped(viaValue{round})
			wrapped(&viaValue{round})
			garbage()
			leakGoroutines(20)
			runtime.GC()
		case "churn":
			for i := 0; i < 60; i++ {
				garbage()
			}
		case "limit":
			debug.SetMemoryLimit(512 << 20)
			debug.SetGCPercent(150)
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		write(dir, "heap.pb.gz", func(f *os.File) { check(pprof.Lookup("heap").WriteTo(f, 0)) })
		write(dir, "goroutine.pb.gz", func(f *os.File) { check(pprof.Lookup("goroutine").WriteTo(f, 0)) })
		write(dir, "mem.json", func(f *os.File) {
			check(json.NewEncoder(f).Encode(map[string]interface{}{
				"mem": m, "goroutines": runtime.NumGoroutine(), "gomaxprocs": runtime.GOMAXPROCS(0)}))
		})
		runtime.ReadMemStats(&m)
		write(dir, "mem2.json", func(f *os.File) { check(json.NewEncoder(f).Encode(m)) })
		fmt.Println("ready")
	}
}
