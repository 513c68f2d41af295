// SPDX-License-Identifier: Apache-2.0

// Package parallel runs the same work on many things at once.
package parallel

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/loopwatch/loopwatch/internal/crash"
)

// For calls do with 0 to n-1, as many at once as there are CPUs, and returns when all have been done. Once ctx is done it
// begins no more of them. Where do panics, For does when the others have returned: nobody could recover from it elsewhere.
func For(ctx context.Context, n int, do func(i int)) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return crash.Guard(func() error { do(i); return nil }) })
	}
	if err := group.Wait(); err != nil {
		panic(err)
	}
}
