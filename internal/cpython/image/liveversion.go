// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"regexp"
	"strconv"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/process"
)

// maxZeroed bounds how much of a file's zero-initialized data is searched, of all segments. libpython has up to
// 600 KiB of it.
const maxZeroed = 4 << 20

// versionText is how sys.version begins: "3.9.2 (default, Feb 28 2021, 17:03:44) ", or
// "3.9.18 | packaged by conda-forge | (main, ...".
var versionText = regexp.MustCompile(`^\x00([23])\.(\d{1,2})\.(\d{1,2})(?:(a|b|rc)(\d{1,2}))?\+? [(|]`)

// LiveVersion finds the release where only the text of sys.version has it: before 3.11, and in
// files without symbols. Py_GetVersion keeps that text in a static buffer, so it lies among
// the zero-initialized data. The release is in the file's constants too, but cannot be told
// from others there: linkers let "3.9.18" be the end of a path. With minor not negative only
// that one counts. It returns 0 where there is no such text, or two different ones.
func (img *Image) LiveVersion(m process.Memory, bias uint64, minor int) release.Version {
	var found release.Version
	left := uint64(maxZeroed)
	for _, s := range img.segments {
		if s.MemSize <= s.FileSize || left == 0 {
			continue
		}
		b := make([]byte, min(s.MemSize-s.FileSize, left))
		left -= uint64(len(b))
		if err := m.Read(bias+s.Addr+s.FileSize, b); err != nil {
			continue
		}
		// Nearly all of it is zeros: look for dots, and only there for the text.
		for at := 0; ; at++ {
			i := bytes.IndexByte(b[at:], '.')
			if i < 0 {
				break
			}
			at += i
			match := versionText.FindSubmatch(b[max(at-2, 0):min(at+32, len(b))])
			if match == nil {
				continue
			}
			v := releaseOf(match)
			if minor >= 0 && v.Minor() != minor {
				continue
			}
			if found != 0 && found != v {
				return 0
			}
			found = v
		}
	}
	return found
}

// WithPatch completes a version of which only the minor release is known, if it can.
func (img *Image) WithPatch(m process.Memory, bias uint64, v release.Version) release.Version {
	if v.HasPatch() {
		return v
	}
	if live := img.LiveVersion(m, bias, v.Minor()); live != 0 {
		return live
	}
	return v
}

// releaseOf makes a version of the groups of versionText.
func releaseOf(match [][]byte) release.Version {
	number := func(group int) release.Version {
		n, _ := strconv.ParseUint(string(match[group]), 10, 8) // digits or nothing, as the pattern has it
		return release.Version(n)
	}
	v := number(1)<<24 | number(2)<<16 | number(3)<<8
	switch string(match[4]) {
	case "a":
		return v | 0xa0 | number(5)&0xf
	case "b":
		return v | 0xb0 | number(5)&0xf
	case "rc":
		return v | 0xc0 | number(5)&0xf
	}
	return v | 0xf0
}
