// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// module is one kernel module, decompressed.
type module struct {
	name    string
	content []byte
}

// loadOrder returns the named modules with all they depend on, each after what it needs. A
// name the kernel has no module for is taken to be built in. The dependencies are read from
// the modules themselves: modules.dep is made on the machine a kernel is installed on.
func loadOrder(ctx context.Context, dir string, names ...string) ([]module, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if base, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil && !d.IsDir() {
			files[moduleName(base)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var order []module
	seen := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		path, ok := files[name]
		if !ok || seen[name] {
			return nil
		}
		seen[name] = true
		content, err := readModule(ctx, path)
		if err != nil {
			return fmt.Errorf("read module %s: %w", name, err)
		}
		depends, err := moduleDepends(content)
		if err != nil {
			return fmt.Errorf("dependencies of module %s: %w", name, err)
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return err
			}
		}
		order = append(order, module{name, content})
		return nil
	}
	for _, name := range names {
		if err := add(moduleName(name)); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName makes one of the two ways to spell a module's name.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

func readModule(ctx context.Context, path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".xz":
		out, err := output(ctx, "", "xz", "-dc", path)
		return []byte(out), err
	case ".zst":
		out, err := output(ctx, "", "zstd", "-dc", path)
		return []byte(out), err
	}
	return os.ReadFile(path)
}

func moduleDepends(content []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			names := strings.Split(string(list), ",")
			for i := range names {
				names[i] = moduleName(names[i])
			}
			return names, nil
		}
	}
	return nil, nil
}
