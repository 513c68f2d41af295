// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Unreadable says why loopwatch could not read a process or its files, and what to do. Neither names the process:
// those with one reason are listed together.
func Unreadable(err error) (reason, do string) {
	refused := errors.Is(err, fs.ErrPermission)
	if !refused && !errors.Is(err, fs.ErrNotExist) {
		return "unreadable: " + firstLine(err), "run loopwatch as root on the host itself"
	}
	missing := missingToRead(refused)
	switch {
	case refused && os.Geteuid() != 0:
		return "unreadable for this user", "run loopwatch as root (sudo loopwatch …)"
	case refused && len(missing) > 0:
		return "unreadable: " + list(missing) + " missing", "run loopwatch as root with all capabilities, or give it " + strings.Join(missing, ", ")
	case refused:
		return "unreadable even for root", "something on this host guards it, such as SELinux, AppArmor or a sandbox"
	case len(missing) > 0:
		return "its file is no longer where it was", "run loopwatch as root, or give it " + strings.Join(missing, ", ")
	}
	return "its file is no longer there", "restart it"
}

// missingToRead lists the capabilities not held without which processes cannot be read, where one was refused, or else
// without which files cannot be that have been replaced.
func missingToRead(refused bool) (names []string) {
	all, err := Capabilities()
	if err != nil {
		return nil // /proc would say nothing of the processes either
	}
	for _, c := range all {
		if !c.Needed && !c.Held && (refused || c.Name == "CAP_CHECKPOINT_RESTORE") {
			names = append(names, c.Name)
		}
	}
	return names
}
