// SPDX-License-Identifier: Apache-2.0

// Package offsets measures where a CPython release keeps its fields: it compiles a small C
// program against the release's headers and runs it. layoutgen makes the table of layouts from
// it, and the tests of package cpython hold layouts against the headers found on the machine.
package offsets

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The name does not end in .c: the go tool would take it for a part of the package.
//
//go:embed offsets.c.txt
var source []byte

// Table is what one release's headers say.
type Table struct {
	Version uint32 // PY_VERSION_HEX
	names   []string
	values  map[string]uint32
}

// frameFields are the fields of release.Layout that live in the embedded FrameLayout.
var frameFields = map[string]bool{
	"ThreadID": true, "ThreadFrame": true, "ViaCFrame": true, "CFrameFrame": true, "FrameCode": true,
	"FrameCodeTag": true, "FrameBack": true, "FrameInstr": true, "InstrKind": true, "FrameOwner": true,
	"FrameLocals": true, "ShimOwners": true, "CodeLine": true, "CodeFile": true, "CodeInstrs": true, "ObjectType": true,
}

// Measure compiles with the compiler cc against the headers in dir, such as
// /usr/include/python3.11, which may lie inside another Debian tree.
func Measure(cc, dir string) (Table, error) {
	t := Table{values: map[string]uint32{}}
	tmp, err := os.MkdirTemp("", "layoutgen-")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(tmp)
	// Debian's pyconfig.h includes <TRIPLET/python3.9/pyconfig.h>. The rest of that tree's
	// headers must stay out: they belong to another libc.
	triplets, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*-linux-gnu", filepath.Base(dir)))
	if err != nil {
		return t, err
	}
	for _, path := range triplets {
		link := filepath.Join(tmp, filepath.Base(filepath.Dir(path)))
		if err := os.Mkdir(link, 0o755); err != nil {
			return t, err
		}
		if err := os.Symlink(path, filepath.Join(link, filepath.Base(dir))); err != nil {
			return t, err
		}
	}
	program, file := filepath.Join(tmp, "offsets"), filepath.Join(tmp, "offsets.c")
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return t, err
	}
	compile := exec.Command(cc, "-w", "-I"+dir, "-I"+filepath.Join(dir, "internal"), "-I"+tmp, "-o", program, file)
	if out, err := compile.CombinedOutput(); err != nil {
		return t, fmt.Errorf("compile against %s: %w\n%s", dir, err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		return t, fmt.Errorf("run what was compiled against %s: %w", dir, err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var name string
		var value uint32
		if _, err := fmt.Sscan(lines.Text(), &name, &value); err != nil {
			return t, fmt.Errorf("read %q: %w", lines.Text(), err)
		}
		if name == "version" {
			t.Version = value
			continue
		}
		t.names = append(t.names, name)
		t.values[name] = value
	}
	return t, nil
}

// Release returns the version as people write it.
func (t Table) Release() string {
	return fmt.Sprintf("%d.%d.%d", t.Version>>24, t.Version>>16&0xff, t.Version>>8&0xff)
}

// Values returns the value of each field.
func (t Table) Values() map[string]uint32 { return t.values }

// Diff returns the fields in which t differs from other, "" where they agree.
func (t Table) Diff(other Table) string {
	var out []string
	for _, name := range t.names {
		if t.values[name] != other.values[name] {
			out = append(out, fmt.Sprintf("%s %d, not %d", name, t.values[name], other.values[name]))
		}
	}
	return strings.Join(out, "; ")
}

// Literal returns the fields as the inside of a composite literal of release.Layout. Zeros
// are left out.
func (t Table) Literal() string {
	var frame, rest strings.Builder
	for _, name := range t.names {
		if t.values[name] == 0 {
			continue
		}
		b := &rest
		if frameFields[name] {
			b = &frame
		}
		fmt.Fprintf(b, "%s: %d,\n", name, t.values[name])
	}
	return "FrameLayout: FrameLayout{\n" + frame.String() + "},\n" + rest.String()
}
