// SPDX-License-Identifier: Apache-2.0

// Gen writes the Go side of bpf/abi: gen [-cc COMPILER] BPF-DIRECTORY OUTPUT. The compiler has the last
// word on sizes and values: the types come from what it writes as BTF.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cilium/ebpf/btf"
)

func main() {
	cc := flag.String("cc", "clang", "the compiler")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen [-cc COMPILER] BPF-DIRECTORY OUTPUT")
		os.Exit(2)
	}
	if err := run(*cc, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// A declaration of a header: a struct or an enum.
type declaration struct{ kind, name string }

// A header with what it declares, in its order.
type header struct {
	name         string
	declarations []declaration
}

func run(cc, dir, output string) error {
	headers, err := read(dir)
	if err != nil {
		return err
	}
	types, err := compile(cc, dir, headers)
	if err != nil {
		return err
	}
	code, err := write(headers, types)
	if err != nil {
		return err
	}
	return os.WriteFile(output, code, 0o644)
}

var declares = regexp.MustCompile(`(?m)^(struct|enum) (\w+) \{`)

// read finds what the headers declare.
func read(dir string) ([]header, error) {
	files, err := filepath.Glob(filepath.Join(dir, "abi", "*.h"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no headers in %s", filepath.Join(dir, "abi"))
	}
	var out []header
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		h := header{name: "abi/" + filepath.Base(file)}
		for _, m := range declares.FindAllSubmatch(text, -1) {
			h.declarations = append(h.declarations, declaration{string(m[1]), string(m[2])})
		}
		out = append(out, h)
	}
	return out, nil
}

// compile returns the types of what the headers declare. A type that no variable has is left out of the
// BTF, so there is one variable of each.
func compile(cc, dir string, headers []header) (_ *btf.Spec, err error) {
	source := bytes.NewBufferString("#include \"abi.h\"\n")
	for _, h := range headers {
		for _, d := range h.declarations {
			fmt.Fprintf(source, "const %s %s *declared_%s_%s;\n", d.kind, d.name, d.kind, d.name)
		}
	}
	temp, err := os.MkdirTemp("", "abi")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	object := filepath.Join(temp, "abi.o")
	args := append(strings.Fields(os.Getenv("BPF2GO_CFLAGS")),
		"-target", "bpf", "-O2", "-g", "-Wall", "-Werror", "-I", dir, "-x", "c", "-c", "-", "-o", object)
	command := exec.Command(cc, args...)
	command.Stdin, command.Stderr = source, os.Stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", cc, err)
	}
	return btf.LoadSpec(object)
}

// write returns the Go code.
func write(headers []header, types *btf.Spec) ([]byte, error) {
	formatter := btf.GoFormatter{Names: map[btf.Type]string{}, Identifier: goName}
	structs := make(map[string]*btf.Struct)
	for _, h := range headers {
		for _, d := range h.declarations {
			if d.kind != "struct" {
				continue
			}
			var s *btf.Struct
			if err := types.TypeByName(d.name, &s); err != nil {
				return nil, fmt.Errorf("%s: %w", h.name, err)
			}
			structs[d.name], formatter.Names[s] = s, goName(d.name)
		}
	}
	out := bytes.NewBufferString("// Code generated from bpf/abi by internal/abi/gen; DO NOT EDIT.\n\npackage abi\n\nimport \"structs\"\n")
	for _, h := range headers {
		for _, d := range h.declarations {
			if d.kind == "struct" {
				fmt.Fprintf(out, "\n// %s is struct %s of bpf/%s.\n", goName(d.name), d.name, h.name)
				text, err := formatter.TypeDeclaration(goName(d.name), structs[d.name])
				if err != nil {
					return nil, fmt.Errorf("struct %s of %s: %w", d.name, h.name, err)
				}
				fmt.Fprintln(out, text)
				continue
			}
			var e *btf.Enum
			if err := types.TypeByName(d.name, &e); err != nil {
				return nil, fmt.Errorf("%s: %w", h.name, err)
			}
			fmt.Fprintf(out, "\n// enum %s of bpf/%s.\nconst (\n", d.name, h.name)
			for _, v := range e.Values {
				if e.Signed {
					fmt.Fprintf(out, "%s = %d\n", goName(v.Name), int64(v.Value))
				} else {
					fmt.Fprintf(out, "%s = %d\n", goName(v.Name), v.Value)
				}
			}
			fmt.Fprintln(out, ")")
		}
	}
	return format.Source(out.Bytes())
}

// goName spells a name of C as Go does.
func goName(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(strings.ToLower(name), "_") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}
