// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

func TestKernelVersion(t *testing.T) {
	for _, test := range []struct {
		release      string
		major, minor int
		ok           bool
	}{
		{"5.10.0-32-cloud-amd64", 5, 10, true}, {"6.18.44-custom", 6, 18, true}, {"7.2-rc1", 7, 2, true},
		{"6.1+", 6, 1, true}, {"6", 0, 0, false}, {"", 0, 0, false}, {"x.y", 0, 0, false},
	} {
		major, minor, ok := kernelVersion(test.release)
		assert.Equal(t, test.ok, ok, test.release)
		if ok {
			assert.Equal(t, [2]int{test.major, test.minor}, [2]int{major, minor}, test.release)
		}
	}
}

// What a user reads is one line that ends in what to do.
func TestErrorsAreOneLine(t *testing.T) {
	verifier := fmt.Errorf("load: %w", errors.New("program on_switch: invalid argument:\n0: R1=ctx()\n1: exit"))
	for _, err := range []error{
		Explain(Fentry, fmt.Errorf("load: %w", unix.EPERM)), Explain(Fentry, verifier),
		Explain(Tracepoint, fmt.Errorf("load: %w", unix.EPERM)), Explain(Tracepoint, unix.ENOMEM),
		Explain(Tracepoint, verifier),
	} {
		var wanted *Error
		if assert.ErrorAs(t, err, &wanted) {
			assert.NotEmpty(t, wanted.Why)
			assert.NotEmpty(t, wanted.Do)
		}
		assert.False(t, strings.ContainsAny(err.Error(), "\n"), err.Error())
	}
}

// Whoever asks what is missing gets what the first observation would be refused for.
func TestRequirementsAreWhatIsChecked(t *testing.T) {
	var first error
	for _, r := range Requirements() {
		assert.NotEmpty(t, r.Name)
		if r.Err != nil && first == nil {
			first = r.Err
		}
	}
	err := Check()
	if first == nil {
		assert.NoError(t, err)
		return
	}
	assert.EqualError(t, err, first.Error())
}

func TestListOfCapabilities(t *testing.T) {
	assert.Equal(t, "A is", list([]string{"A"}))
	assert.Equal(t, "A and B are", list([]string{"A", "B"}))
	assert.Equal(t, "A, B and C are", list([]string{"A", "B", "C"}))
}

// A refusal of perf events is not what the verifier says with the same number.
func TestVerifierIsNotParanoia(t *testing.T) {
	err := Explain(Tracing, fmt.Errorf("load: %w", &ebpf.VerifierError{Cause: unix.EACCES}))
	assert.NotContains(t, err.Error(), "perf_event_paranoid")
}
