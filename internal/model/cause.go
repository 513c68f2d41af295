// SPDX-License-Identifier: Apache-2.0

package model

// Cause says why a block took its time.
type Cause string

// The closed list of causes.
const (
	CauseCPU        Cause = "cpu"
	CauseNative     Cause = "native"
	CauseSleep      Cause = "sleep"
	CauseNet        Cause = "net"
	CauseDNS        Cause = "dns"
	CauseFile       Cause = "file"
	CausePipe       Cause = "pipe"
	CauseSubprocess Cause = "subprocess"
	CauseLock       Cause = "lock"
	CauseGIL        Cause = "gil"
	CauseGC         Cause = "gc"
	CauseImport     Cause = "import"
	CauseRunqueue   Cause = "runqueue"
	CauseThrottled  Cause = "throttled"
	CauseStopped    Cause = "stopped"
	CauseUnknown    Cause = "unknown"
)
