// SPDX-License-Identifier: Apache-2.0

// Package parallel runs the same work on many things at once.
package parallel

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// For calls do with 0 to n-1, as many at once as there are CPUs, and returns when all have been done. Once ctx is done it
// begins no more of them.
func For(ctx context.Context, n int, do func(i int)) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { do(i); return nil })
	}
	_ = group.Wait() // nothing that do can fail with
}
