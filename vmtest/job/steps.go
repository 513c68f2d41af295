// SPDX-License-Identifier: Apache-2.0

package job

// StepsPath is where cmd/suite finds its Steps in a guest, as JSON.
const StepsPath = Payload + "/steps.json"

// Step is one run of a test binary in a guest.
type Step struct {
	Name    string
	Command []string
	Env     []string
}

// Lines that cmd/suite writes between the outputs of steps: Begin and the name, End with the
// status and the milliseconds it took. The first byte is in no test's output.
const (
	Begin = "\x1eBEGIN "
	End   = "\x1eEND "
)
