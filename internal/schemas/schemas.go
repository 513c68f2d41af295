// SPDX-License-Identifier: Apache-2.0

// Package schemas makes the JSON Schemas of the machine formats, and holds documents against them. The types that the formats are
// made of go in; docs/schemas comes out (gen), and in tests what is wrong with a document.
package schemas

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	generate "github.com/invopop/jsonschema"
	validate "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/doctor"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
)

// formats are the machine formats by the name of their schema's file, and of what type a document of each is.
var formats = map[string]any{
	"report.v1":           model.Report{},
	"block.v1":            model.Block{},
	"dump.v1":             model.Dump{},
	"waits.v1":            model.WaitProfile{},
	"diff.v1":             model.Diff{},
	"doctor.v1":           doctor.Diagnosis{},
	"recording.v1.header": recording.Header{},
	"recording.v1.period": block.Evidence{},
	"recording.v1.note":   recording.Note{},
}

// Names returns the names of all schemas.
func Names() []string {
	var names []string
	for name := range formats {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sources are the directories whose comments become descriptions, below the root of the module.
var sources = []string{"internal/model", "internal/recording", "internal/doctor", "internal/block", "internal/cause", "internal/syscalls"}

const module = "github.com/loopwatch/loopwatch"

// Generate returns a schema as JSON. A strict one refuses fields that are not listed; those that are published do not, as a version may
// gain fields. Comments are read from the module in root; "" leaves them out.
func Generate(name, root string, strict bool) ([]byte, error) {
	of, ok := formats[name]
	if !ok {
		return nil, fmt.Errorf("no schema %q", name)
	}
	r := &generate.Reflector{Anonymous: true, AllowAdditionalProperties: !strict, Mapper: mapped}
	if root != "" {
		r.CommentMap = map[string]string{}
		for _, dir := range sources {
			if err := r.AddGoComments(module, root+"/"+dir, generate.WithFullComment()); err != nil {
				return nil, err
			}
		}
		r.CommentMap = relocated(r.CommentMap, root)
	}
	s := r.Reflect(of)
	s.Title = "loopwatch." + strings.Replace(name, ".v", "/v", 1)
	named(s, reflect.TypeOf(of).Name())
	nullable(s, reflect.TypeOf(of), map[reflect.Type]bool{})
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// relocated returns comments by the names of the packages, wherever the module lies.
func relocated(comments map[string]string, root string) map[string]string {
	out := map[string]string{}
	for key, text := range comments {
		out[strings.Replace(key, module+"/"+root+"/", module+"/", 1)] = strings.Join(strings.Fields(text), " ")
	}
	return out
}

// named demands the name of the schema in a document that has one.
func named(s *generate.Schema, root string) {
	if root := s.Definitions[root]; root != nil && root.Properties != nil {
		if field, ok := root.Properties.Get("schema"); ok {
			field.Const = schemaName(s.Title)
		}
	}
}

// nullable allows null for the pointers of a type, and of those it is made of, that are written even where they are nil.
func nullable(s *generate.Schema, t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		nullable(s, t.Elem(), seen)
		return
	case reflect.Struct:
	default:
		return
	}
	if seen[t] {
		return
	}
	seen[t] = true
	for _, field := range reflect.VisibleFields(t) {
		nullable(s, field.Type, seen)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Type.Kind() != reflect.Pointer || name == "" || strings.Contains(options, "omit") {
			continue
		}
		if properties := s.Definitions[t.Name()]; properties != nil && properties.Properties != nil {
			if was, ok := properties.Properties.Get(name); ok {
				properties.Properties.Set(name, &generate.Schema{OneOf: []*generate.Schema{was, {Type: "null"}}, Description: was.Description})
				was.Description = ""
			}
		}
	}
}

// schemaName is that of a format: the title without what of the format it is.
func schemaName(title string) string {
	name, version, _ := strings.Cut(title, "/")
	version, _, _ = strings.Cut(version, ".")
	return name + "/" + version
}

// mapped are the types that write themselves.
func mapped(t reflect.Type) *generate.Schema {
	text := reflect.TypeFor[encoding.TextMarshaler]()
	if t == reflect.TypeFor[time.Time]() || !t.Implements(text) && !reflect.PointerTo(t).Implements(text) {
		return nil
	}
	return &generate.Schema{Type: "string"}
}

// compiled are the strict schemas, made when the first document is held against one.
var compiled = sync.OnceValues(func() (map[string]*validate.Schema, error) {
	out := map[string]*validate.Schema{}
	for name := range formats {
		text, err := Generate(name, "", true)
		if err != nil {
			return nil, err
		}
		if out[name], err = Compile(name, text); err != nil {
			return nil, err
		}
	}
	return out, nil
})

// Compile reads a schema.
func Compile(name string, text []byte) (*validate.Schema, error) {
	doc, err := validate.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := validate.NewCompiler()
	c.DefaultDraft(validate.Draft2020)
	if err := c.AddResource(name, doc); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// Validate says what is wrong with a document by the strict schema of a format.
func Validate(name string, document io.Reader) error {
	all, err := compiled()
	if err != nil {
		return err
	}
	if all[name] == nil {
		return fmt.Errorf("no schema %q", name)
	}
	doc, err := validate.UnmarshalJSON(document)
	if err != nil {
		return err
	}
	return all[name].Validate(doc)
}
