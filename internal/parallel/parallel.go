// SPDX-License-Identifier: Apache-2.0

// Package parallel runs the same work on many things at once.
package parallel

import (
	"runtime"
	"sync"
)

// For calls do with 0 to n-1, as many at once as there are CPUs, and returns when all have been done.
func For(n int, do func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
