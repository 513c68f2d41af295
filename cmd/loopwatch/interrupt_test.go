// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/doctor"
	"github.com/loopwatch/loopwatch/internal/dump"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/python"
)

// TestALookIsInterrupted sends the first signal to a dump and a doctor that obey, and to those that wait for ever.
func TestALookIsInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for _, obeys := range []bool{true, false} {
			look := func(ctx context.Context) error {
				require.NoError(t, syscall.Kill(os.Getpid(), sig))
				if !obeys {
					select {}
				}
				<-ctx.Done()
				return ctx.Err()
			}
			for _, command := range []string{"dump", "doctor"} {
				var stderr bytes.Buffer
				a := &app{stdout: io.Discard, stderr: &stderr, screen: func(io.Writer) (int, bool) { return 0, false },
					takeDump: func(ctx context.Context, _ dump.Options) (*model.Dump, []*python.PIDError, error) {
						return nil, nil, look(ctx)
					},
					examine: func(ctx context.Context, _ []int) (*doctor.Diagnosis, error) { return nil, look(ctx) },
				}
				assert.Equal(t, statusFailed, a.run([]string{command}))
				assert.Equal(t, "loopwatch: interrupted before it was done; run it again, with --pid for fewer processes\n", stderr.String())
			}
		}
	}
}
