// SPDX-License-Identifier: Apache-2.0

package cpython

// ForgetFiles empties the memory of what was found in files.
func ForgetFiles() {
	images.mu.Lock()
	defer images.mu.Unlock()
	images.m = nil
}
