// SPDX-License-Identifier: GPL-2.0-or-later
// Go whose C code is the runtime's and the standard library's alone: setenv, lookups of users, the
// beginning of threads.
package main

import (
	"fmt"
	"os"
	"os/user"
)

//go:noinline
func setOne(i int) {
	os.Setenv(fmt.Sprintf("VARIABLE_%d", i), "value")
}

func main() {
	if _, err := user.Current(); err != nil {
		os.Exit(1)
	}
	for i := 0; i < 500; i++ {
		setOne(i)
	}
}
