// SPDX-License-Identifier: Apache-2.0

package release

// described is what releases that describe themselves say as they are usually built, as far as Usual returns it. Seen in
// CPython 3.13.0, 3.13.5, 3.14.10 and 3.15.2; the tests hold it against the interpreters at hand.
var described = map[int]Layout{
	13: {
		FrameLayout: FrameLayout{
			ThreadID: 152, ThreadFrame: 72, FrameBack: 8, FrameInstr: 56, FrameOwner: 70, FrameLocals: 72,
			CodeLine: 68, CodeFile: 112, CodeInstrs: 200,
		},
		ThreadNext: 8,
	},
	14: {
		FrameLayout: FrameLayout{
			ThreadID: 152, ThreadFrame: 72, FrameBack: 8, FrameInstr: 56, FrameOwner: 74, FrameLocals: 80,
			CodeLine: 68, CodeFile: 112, CodeInstrs: 208,
		},
		ThreadNext: 8, CoroFrame: 72,
	},
	15: {
		FrameLayout: FrameLayout{
			ThreadID: 176, ThreadFrame: 72, FrameBack: 8, FrameInstr: 56, FrameOwner: 74, FrameLocals: 80,
			CodeLine: 68, CodeFile: 112, CodeInstrs: 208,
		},
		ThreadNext: 8, CoroFrame: 72,
	},
}

// Usual returns the layout that a minor release has as it is usually built, of those that describe themselves only what the
// kernel's walker uses.
func Usual(minor int) (Layout, bool) {
	if l, ok := layouts[minor]; ok {
		return l, true
	}
	l, ok := described[minor]
	if !ok {
		return Layout{}, false
	}
	l.InstrKind, l.ObjectType = InstrPointer, 8
	l.GILLocked, l.GILLastHolder = 16, 8
	l.DictKeys = 32
	l.StrLength, l.StrState, l.StrASCII = 16, 32, 40
	fillUnsaid(&l, minor)
	return l, true
}
