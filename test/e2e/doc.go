// SPDX-License-Identifier: Apache-2.0

// Package e2e holds loopwatch, the program, against the truth: it starts real Python programs
// on every interpreter and event loop the machine has, runs the loopwatch binary on them, and
// compares its report with what the programs have logged about themselves. It consists of
// tests only, needs root, and can be compiled with "go test -c" to run elsewhere, inside a
// virtual machine for instance.
//
// Environment: LOOPWATCH_BIN is the binary to test (default: built from this tree),
// LOOPWATCH_ROOTS the directory of Debian trees, LOOPWATCH_PYTHONS the releases to test ("3.14
// 3.15"; all of them must be there), LOOPWATCH_ATTACH the value of --attach,
// LOOPWATCH_RECORDINGS the directory (absolute) in which to leave recordings for test/replay, and
// LOOPWATCH_EMULATED says that the machine is slow: fewer blocks, and longer ones ("counted": and
// that its clock stands still with it).
package e2e
