// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// recipe says what one tree is made of.
type recipe struct {
	suite    string
	arch     string // as Debian calls it, where it is not this machine's; such a tree is not entered
	packages []string
	// keysFrom names a tree, made earlier, whose archive keyring vouches for this one: the
	// host's own may be older than the key the suite is signed with.
	keysFrom string
}

// loops are the event loops, servers, and users of epoll that are no loops, which every tree has
// for its default interpreter.
var loops = []string{
	"gunicorn", "python3-aiohttp", "python3-eventlet", "python3-gevent", "python3-grpcio",
	"python3-tornado", "python3-trio", "python3-twisted", "python3-uvicorn", "python3-uvloop",
	"python3-zmq",
}

// recipes stand in the order they are made in. The -dev packages are for the headers that
// the layouts of package cpython are checked against.
var recipes = []recipe{
	{suite: "trixie", packages: slices.Concat(loops, []string{"libpython3.13-dev", "python3.13"})},
	{suite: "bookworm", packages: slices.Concat(loops, []string{"python3"})},
	{suite: "bullseye", packages: slices.Concat(loops, []string{"libpython3.9-dev", "python3.9"})},
	{suite: "sid", keysFrom: "trixie", packages: slices.Concat(loops, []string{
		"libpython3.14-dev", "libpython3.15-dev", "python3.14", "python3.15",
	})},
}

// foreign are trees for guests of another architecture. They are unpacked and not configured: none of their
// programs can run here.
var foreign = []recipe{
	{suite: "trixie", arch: "arm64", packages: slices.Concat(loops, []string{"?essential", "python3.13"})},
}

// name is what the tree is called.
func (r recipe) name() string {
	if r.arch != "" {
		return r.suite + "-" + r.arch
	}
	return r.suite
}

// excluded are paths that dpkg need not unpack.
var excluded = []string{"/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"}

// choose returns the recipes of the named trees and of those whose keys they need, all of this machine's
// architecture if none is named.
func choose(names []string) ([]recipe, error) {
	all := slices.Concat(recipes, foreign)
	for _, name := range names {
		if !slices.ContainsFunc(all, func(r recipe) bool { return r.name() == name }) {
			var known []string
			for _, r := range all {
				known = append(known, r.name())
			}
			return nil, fmt.Errorf("no recipe for %q: known are %s", name, strings.Join(known, ", "))
		}
	}
	for _, r := range all {
		if r.keysFrom != "" && slices.Contains(names, r.name()) {
			names = append(names, r.keysFrom)
		}
	}
	var out []recipe
	for _, r := range all {
		if len(names) == 0 && r.arch == "" || slices.Contains(names, r.name()) {
			out = append(out, r)
		}
	}
	return out, nil
}

// bytes is what a tree takes while it is made, packages and all, with something to spare.
func (r recipe) bytes() int64 { return 2 << 30 }

// stamp tells two versions of a recipe apart. A tree carries the stamp it was made by.
func (r recipe) stamp() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n", r.name(), strings.Join(r.packages, " "), strings.Join(excluded, " ")))
	return hex.EncodeToString(sum[:])
}
