// SPDX-License-Identifier: Apache-2.0

package probes

// FDVerdicts are the verdicts on descriptors of one thread, FDs at most.
type FDVerdicts []FDVerdict

// Set remembers the verdict on a descriptor; a number below 0 is none. Where there are too many, one that is not the loop's own
// goes first.
func (f *FDVerdicts) Set(fd int, v Verdict) {
	if fd < 0 {
		return
	}
	for i := range *f {
		if (*f)[i].FD == fd {
			(*f)[i].Verdict = v
			return
		}
	}
	if len(*f) == FDs {
		victim := 0
		for i, other := range *f {
			if other.Verdict == Ignored {
				victim = i
				break
			}
		}
		*f = append((*f)[:victim], (*f)[victim+1:]...)
	}
	*f = append(*f, FDVerdict{FD: fd, Verdict: v})
}
