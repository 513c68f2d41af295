// SPDX-License-Identifier: Apache-2.0

package testpython

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Main runs a package's tests from its TestMain and fails them if they leave descriptors or
// child processes behind.
func Main(m *testing.M) {
	before := descriptors()
	code := m.Run()
	for _, problem := range append(leftChildren(), leftDescriptors(before)...) {
		fmt.Fprintln(os.Stderr, "leaked:", problem)
		code = max(code, 1)
	}
	os.Exit(code)
}

// descriptors lists what is open, by number. What the Go runtime keeps for itself from its
// first wait on is left out.
func descriptors() map[string]string {
	out := map[string]string{}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		to, err := os.Readlink(link)
		if err == nil && !strings.HasPrefix(to, "anon_inode:[eventpoll]") && !strings.HasPrefix(to, "anon_inode:[eventfd]") {
			out[link] = to
		}
	}
	return out
}

func leftDescriptors(before map[string]string) (left []string) {
	// The goroutines that wait for killed programs may still be closing theirs.
	for range 50 {
		left = nil
		for link, to := range descriptors() {
			if before[link] == "" {
				left = append(left, link+" -> "+to)
			}
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return left
}

func leftChildren() []string {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	switch {
	case errors.Is(err, syscall.ECHILD):
		return nil
	case err != nil:
		return []string{fmt.Sprintf("children cannot be listed: %v", err)}
	}
	return []string{fmt.Sprintf("a child process (%d ended and was not waited for)", pid)}
}
