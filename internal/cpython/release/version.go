// SPDX-License-Identifier: Apache-2.0

package release

import "fmt"

// Version is a release as CPython itself encodes it: PY_VERSION_HEX of Include/patchlevel.h,
// one byte each for major, minor and patch, then a nibble for the release level
// (0xa alpha, 0xb beta, 0xc candidate, 0xf final) and one for the serial.
type Version uint32

// patchUnknown stands for the lower half of a version of which only major and minor are known.
const patchUnknown Version = 0xfff0

// MakeMinor returns the release major.minor of which the patch is not known.
func MakeMinor(major, minor uint8) Version {
	return Version(major)<<24 | Version(minor)<<16 | patchUnknown
}

// HasPatch reports whether the patch release is known.
func (v Version) HasPatch() bool { return v&0xffff != patchUnknown }

// MakeVersion returns the final release major.minor.patch.
func MakeVersion(major, minor, patch uint8) Version {
	return Version(major)<<24 | Version(minor)<<16 | Version(patch)<<8 | 0xf0
}

// Major returns the 3 of 3.11.2.
func (v Version) Major() int { return int(v >> 24) }

// Minor returns the 11 of 3.11.2.
func (v Version) Minor() int { return int(v >> 16 & 0xff) }

// Patch returns the 2 of 3.11.2, 255 where it is not known.
func (v Version) Patch() int { return int(v >> 8 & 0xff) }

// String returns the version as Python writes it: "3.11.2", "3.15.0b1", "3.14.0rc2"; "3.9"
// where the patch release is not known.
func (v Version) String() string {
	if !v.HasPatch() {
		return fmt.Sprintf("%d.%d", v.Major(), v.Minor())
	}
	s := fmt.Sprintf("%d.%d.%d", v.Major(), v.Minor(), v.Patch())
	serial := int(v & 0xf)
	switch v >> 4 & 0xf {
	case 0xa:
		return fmt.Sprintf("%sa%d", s, serial)
	case 0xb:
		return fmt.Sprintf("%sb%d", s, serial)
	case 0xc:
		return fmt.Sprintf("%src%d", s, serial)
	}
	return s
}
