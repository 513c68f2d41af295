// SPDX-License-Identifier: Apache-2.0

package object

import (
	"bytes"

	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Where callables of all supported releases keep what they have: cpython/{methodobject,classobject,descrobject}.h, and
// Modules/_functoolsmodule.c.
const (
	offCFunctionDef    = 16 // PyCFunctionObject.m_ml
	offCFunctionSelf   = 24 // m_self
	offCFunctionModule = 32 // m_module
	offMethodFunction  = 16 // PyMethodObject.im_func
	offPartial         = 16 // partialobject.fn
)

// maxWrapped bounds how many callables may wrap one another.
const maxWrapped = 8

// Callable returns the name of a callable that is no function of Python's: "time.sleep" for a function of C, "list.sort" for
// a bound method of a type of C, of a partial or a method what it calls. For an instance it is that of its type.
func (r *Reader) Callable(m process.Memory, object uint64) (string, error) {
	for range maxWrapped {
		typ, err := r.TypeOf(m, object)
		if err != nil {
			return "", err
		}
		name, _, err := r.TypeName(m, typ)
		if err != nil {
			return "", err
		}
		switch name {
		case "builtin_function_or_method", "builtin_method":
			return r.cFunction(m, object)
		case "functools.partial":
			object, err = words.At(m, object+offPartial)
		case "method":
			object, err = words.At(m, object+offMethodFunction)
		case "type":
			name, _, err = r.TypeName(m, object)
			return name, err
		default:
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", errBadObject
}

// cFunction names a function of C after its module, or after the type of what it is bound to.
func (r *Reader) cFunction(m process.Memory, object uint64) (string, error) {
	method, err := words.Array(m, object+offCFunctionDef, 3)
	if err != nil {
		return "", err
	}
	at, err := words.At(m, method[0]) // PyMethodDef.ml_name
	if err != nil {
		return "", err
	}
	name, err := cString(m, at)
	if err != nil {
		return "", err
	}
	if module := method[(offCFunctionModule-offCFunctionDef)/8]; module != 0 {
		if text, _, err := r.Str(m, module); err == nil {
			if text == "builtins" {
				return name, nil
			}
			return text + "." + name, nil
		}
	}
	self := method[(offCFunctionSelf-offCFunctionDef)/8]
	typ, err := r.TypeOf(m, self)
	if self == 0 || err != nil {
		return name, nil
	}
	owner, _, err := r.TypeName(m, typ)
	if err != nil {
		return name, nil
	}
	return owner + "." + name, nil
}

// cString reads a string of C's, cut at 64 bytes.
func cString(m process.Memory, at uint64) (string, error) {
	b := make([]byte, maxTypeName)
	var err error
	// It may stand at the end of what is mapped.
	for n := len(b); n >= 8; n /= 2 {
		if err = m.Read(at, b[:n]); err == nil {
			text, _, _ := bytes.Cut(b[:n], []byte{0})
			return string(text), nil
		}
	}
	return "", err
}
