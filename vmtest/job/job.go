// SPDX-License-Identifier: Apache-2.0

// Package job is what the two sides of a guest agree upon: the host writes a Job into the
// initramfs, and the guest's init reads it and answers on its serial ports.
package job

// Path is where in the initramfs the Job lies, as JSON.
const Path = "/job.json"

// ModulesDir holds the kernel modules of Job.Modules.
const ModulesDir = "/modules"

// Payload is where the files brought along appear, in the initramfs and in the root.
const Payload = "/vmtest"

// Ports are devices of the guest: what the command says, and how it fares. The kernel has a console
// of its own.
type Ports struct{ Output, Status string }

// Lines on Ports.Status: Ready when the command is about to start, Exit and its status after it.
const (
	Ready = "ready"
	Exit  = "exit "
)

// Job is what the guest is to do before it powers off.
type Job struct {
	Modules []string // file names in ModulesDir, in the order to load them
	Ports   Ports
	Disk    string   // device of the root: "/dev/vda"
	Command []string // run in the root, in Payload; none: it is enough to have come up
	Env     []string // besides PATH, HOME and LANG
}
