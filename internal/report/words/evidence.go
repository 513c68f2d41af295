// SPDX-License-Identifier: Apache-2.0

package words

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// noticeable is how long collections or imports took that are worth a word.
const noticeable = int64(5 * time.Millisecond)

// noticeableLate is how late a loop was in all, at least, where that is worth a word: every wake-up takes some microseconds.
const noticeableLate = int64(50 * time.Millisecond)

// Evidence tells in one line what the kernel saw the thread do.
func Evidence(d model.Detail) string {
	var parts []string
	if d.Called != "" {
		parts = append(parts, "the loop itself called "+safetext.Line(d.Called))
	}
	if d.Scheduled != nil {
		parts = append(parts, "scheduled by "+CulpritName(d.Scheduled))
	}
	if d.Syscall != "" {
		s := "in " + safetext.Line(d.Syscall)
		if d.FD != nil {
			s += fmt.Sprintf(" on fd %d", *d.FD)
		}
		parts = append(parts, s)
	}
	if d.Target != "" {
		parts = append(parts, safetext.Line(d.Target))
	}
	if d.Native != "" {
		parts = append(parts, "native code of "+safetext.Line(d.Native))
	}
	if d.During == model.CauseGC {
		parts = append(parts, "in a finalizer, during a collection")
	}
	if g := d.GC; g != nil && g.NS >= noticeable {
		parts = append(parts, fmt.Sprintf("%s of %s, the longest %s in generation %d",
			Plural(g.Count, "collection"), HumanDuration(g.NS), HumanDuration(g.MaxNS), g.Generation))
	}
	if i := d.Import; i != nil && i.NS >= noticeable {
		s := fmt.Sprintf("import of %s, %s", cmp.Or(safetext.Line(i.Module), "?"), HumanDuration(i.MaxNS))
		if i.Count > 1 {
			s += fmt.Sprintf(", and %d more", i.Count-1)
		}
		parts = append(parts, s)
	}
	for _, a := range d.Audit {
		parts = append(parts, fmt.Sprintf("%d × %s", a.Count, safetext.Line(a.Event)))
	}
	return strings.Join(parts, ", ")
}

// InWait says that blocks began in the loop's wait, empty where none did.
func InWait(inWait, blocks int) string {
	switch {
	case inWait == 0:
		return ""
	case inWait == blocks:
		return "in its wait: there was something to do, and it was not let run"
	}
	return fmt.Sprintf("in its wait in %d of %s: there was something to do, and it was not let run", inWait, Plural(int64(blocks), "block"))
}

// IsLate reports whether it is worth a word for how long a loop was not let run out of its wait: a hundredth of its time.
func IsLate(l *model.Loop) bool {
	return l.LateNS >= noticeableLate && 100*l.LateNS >= l.IdleNS+l.ActiveNS
}
