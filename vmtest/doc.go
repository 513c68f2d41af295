// Package vmtest will run loopwatch's tests under other kernels than the machine's own: it
// boots a virtual machine for each kernel, hands it the loopwatch binary and the compiled
// end-to-end tests, and brings back their result. README.md in this directory is the plan;
// there is no code yet.
package vmtest
