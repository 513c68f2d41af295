// SPDX-License-Identifier: Apache-2.0

package cause

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/kernelstack"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// Sleep is a thread that is off the CPU, and not for want of one.
type Sleep struct {
	Call
	Place   kernelstack.Place `json:"place,omitempty"`   // where in the kernel it sleeps; counts where NeedsPlace
	Stopped bool              `json:"stopped,omitempty"` // by a signal, a tracer or a freezer
	GIL     bool              `json:"gil,omitempty"`     // a futex at Args[0] is part of the GIL that the thread needs
}

// NeedsPlace reports whether only the place in the kernel can say what the thread waits for. The kernel's symbols, which
// tell the place, take a tenth of a second to read, so a caller looks it up only then.
func (s Sleep) NeedsPlace() bool {
	elsewhere, disk := s, s
	elsewhere.Place, disk.Place = kernelstack.Elsewhere, kernelstack.Disk
	return OfSleep(elsewhere, nil) != OfSleep(disk, nil)
}

// OfSleep says what a thread slept in. frames are its Python stack, innermost first; it may be empty.
func OfSleep(s Sleep, frames []model.Frame) model.Cause {
	e := evidenceOf(s, frames)
	for _, r := range sleepRules {
		if r.holds(e) {
			return r.cause
		}
	}
	return model.CauseUnknown
}

// sleepRules are tried in this order, and the first that holds gives the cause. Resolving a name comes before the socket
// or the file that it is done by.
var sleepRules = []struct {
	cause model.Cause
	holds func(evidence) bool
}{
	{model.CauseStopped, evidence.stopped},
	{model.CauseGIL, evidence.gil},
	{model.CauseLock, evidence.lock},
	{model.CauseSleep, evidence.sleep},
	{model.CauseSubprocess, evidence.subprocess},
	{model.CausePipe, evidence.pipe},
	{model.CauseDNS, evidence.dns},
	{model.CauseNet, evidence.net},
	{model.CauseFile, evidence.file},
}

// evidence is what the rules go by. The call comes first, then its object where the call says nothing, then the place in
// the kernel: at most one of waits, object and place is set.
type evidence struct {
	Sleep
	waits  syscalls.Waits
	object object
	place  kernelstack.Place
	leaf   *model.Frame // innermost frame, nil unknown
}

func evidenceOf(s Sleep, frames []model.Frame) evidence {
	e := evidence{Sleep: s, leaf: leafOf(frames)}
	call := syscalls.Lookup(s.Number)
	switch call.Waits {
	case syscalls.Readiness:
		if s.Args[countArgument(call)] == 0 {
			e.waits = syscalls.Time
		} else {
			e.object = objectOf(&s.Target)
		}
	case syscalls.ByObject:
		e.object = objectOf(&s.Target)
	case syscalls.Unknown:
		if s.Number < 0 && s.Target.Kind == syscalls.FileTarget { // a page of it was missing
			e.object = aFile
		}
	default:
		e.waits = call.Waits
	}
	if e.silent() {
		e.place = s.Place
	}
	return e
}

// silent reports whether neither the call nor its object says anything.
func (e evidence) silent() bool { return e.waits == syscalls.Unknown && e.object == unknownObject }

// countArgument is the argument in which poll and select say how many descriptors they watch.
func countArgument(call syscalls.Call) int {
	if call.Object == syscalls.Select {
		return 0
	}
	return 1
}

func (e evidence) stopped() bool { return e.Stopped }

func (e evidence) gil() bool { return e.waits == syscalls.Futex && e.GIL }

// lock comes after gil, so a futex is another lock.
func (e evidence) lock() bool { return e.waits == syscalls.Futex || e.waits == syscalls.Lock }

// sleep holds for a poll of no descriptors, too, which waits for a time.
func (e evidence) sleep() bool { return e.waits == syscalls.Time || e.object == aTimer }

func (e evidence) subprocess() bool {
	return e.waits == syscalls.Child || e.object == aChild || e.place == kernelstack.Child || e.object == aFIFO && e.startsChild()
}

// startsChild tells the pipe from which subprocess reads until the child has become its program.
func (e evidence) startsChild() bool {
	return e.leaf != nil && strings.HasSuffix(e.leaf.File, "/subprocess.py") && strings.HasSuffix(e.leaf.Function, "_execute_child")
}

// pipe holds for an eventfd, too: another thread writes to it, as to a pipe.
func (e evidence) pipe() bool {
	switch e.object {
	case aFIFO, aTerminal, anEvent:
		return true
	}
	return e.waits == syscalls.Queue || e.place == kernelstack.Pipe
}

func (e evidence) net() bool {
	return e.waits == syscalls.Network || e.object == aSocket || e.place == kernelstack.Network
}

func (e evidence) file() bool {
	return e.waits == syscalls.File || e.object == aFile || e.place == kernelstack.Disk
}

const dnsPort = 53

// dns holds for a socket to port 53 or to a local resolver, and in the functions of socket.py that call the C library's
// resolver.
func (e evidence) dns() bool {
	if e.leaf != nil && strings.HasSuffix(e.leaf.File, "/socket.py") && (e.leaf.Function == "getaddrinfo" || e.leaf.Function == "getfqdn") {
		return true
	}
	switch t := &e.Target; t.Kind {
	case syscalls.InetTarget:
		return t.Address.Port() == dnsPort && !t.Local
	case syscalls.UnixTarget:
		return slices.Contains(resolverSockets, t.Path)
	}
	return false
}

// resolverSockets are those of local resolvers that do nothing else.
var resolverSockets = []string{"/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket", "/run/dnsmasq.sock"}

// object is the kind of thing that a call works on.
type object int

const (
	unknownObject object = iota
	aSocket
	aFile
	aFIFO
	aTerminal
	aChild
	aTimer
	anEvent
)

func objectOf(t *syscalls.Target) object {
	if t.Kind == syscalls.ChildTarget {
		return aChild
	}
	if t.Magic == syscalls.AnonInodeFS {
		return anonymousObjects[t.Path]
	}
	switch t.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return aSocket
	case unix.S_IFREG, unix.S_IFBLK, unix.S_IFDIR:
		return aFile
	case unix.S_IFIFO:
		return aFIFO
	case unix.S_IFCHR:
		if isTerminal(t) {
			return aTerminal
		}
		return aFile
	}
	return unknownObject
}

// anonymousObjects are files of the kernel's making, by its names for them. A file that is not listed can be anything.
var anonymousObjects = map[string]object{
	"[timerfd]":  aTimer,
	"[eventfd]":  anEvent,
	"inotify":    aFile,
	"[fanotify]": aFile,
	"[pidfd]":    aChild,
}

// isTerminal goes by the device's number (Documentation/admin-guide/devices.txt).
func isTerminal(t *syscalls.Target) bool {
	if t.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false
	}
	switch major := t.Device >> 20; {
	case major == 4, major == 5, major >= 136 && major <= 143: // ttyN and ttySN, tty and ptmx, pts
		return true
	case major == 166, major == 188, major == 204, major == 229: // ttyACM, ttyUSB, ttyAMA, hvc
		return true
	}
	return false
}
