// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMirrorOf(t *testing.T) {
	list := filepath.Join(t.TempDir(), "mirrors.list")
	require.NoError(t, os.WriteFile(list, []byte("# ours\nhttps://second.example/debian\tpriority:1\n"), 0o644))
	for _, test := range []struct{ name, targets, want string }{
		{"main archive", "http://a.example/debian-security/ Debian-Security\nhttp://a.example/debian/ Debian\n", "http://a.example/debian"},
		{"other archives first", "https://other.example/apt/ other\nhttps://a.example/debian/ Debian\n", "https://a.example/debian"},
		{"list of mirrors", "mirror+file:" + list + "/ Debian\n", "https://second.example/debian"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mirrorOf(test.targets)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	_, err := mirrorOf("https://other.example/apt/ other\n")
	assert.ErrorIs(t, err, errNoMirror)
}

func TestOptionsNeverRelaxSignatures(t *testing.T) {
	dump := `Acquire "";
Acquire::AllowInsecureRepositories "1";
Acquire::AllowWeakRepositories "1";
Acquire::Check-Valid-Until "false";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::Verify-Peer "";
`
	assert.Equal(t, []string{
		`Acquire::Check-Valid-Until "false";`,
		`Acquire::http::Proxy "http://proxy.example:3128";`,
	}, optionsOf(dump))
}

func TestChoose(t *testing.T) {
	all, err := choose(nil)
	require.NoError(t, err)
	assert.Equal(t, recipes, all)
	// Whoever lends the keys is made first, whatever the order asked for.
	some, err := choose([]string{"sid"})
	require.NoError(t, err)
	require.Len(t, some, 2)
	assert.Equal(t, "trixie", some[0].suite)
	other, err := choose([]string{"trixie-arm64"})
	require.NoError(t, err)
	require.Len(t, other, 1)
	assert.Equal(t, "arm64", other[0].arch)
	_, err = choose([]string{"trixie", "potato"})
	assert.ErrorContains(t, err, "potato")
}

func TestAtOnce(t *testing.T) {
	wanted := []recipe{{suite: "a"}, {suite: "b"}, {suite: "c"}, {suite: "d", keysFrom: "a"}}
	var mu sync.Mutex
	now, most := 0, 0
	var made []string
	var first sync.WaitGroup // those that are made first, side by side
	first.Add(abreast)
	err := atOnce(t.Context(), wanted, func(_ context.Context, r recipe) error {
		mu.Lock()
		now++
		most = max(most, now)
		if r.suite == "d" {
			assert.Contains(t, made, "a", "its keys are there")
		}
		mu.Unlock()
		if slices.IndexFunc(wanted, func(w recipe) bool { return w.suite == r.suite }) < abreast {
			first.Done()
			first.Wait()
		}
		mu.Lock()
		defer mu.Unlock()
		now--
		made = append(made, r.suite)
		return nil
	})
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"a", "b", "c", "d"}, made)
	assert.Equal(t, abreast, most)

	broken := errors.New("no mirror")
	var tried atomic.Int32
	err = atOnce(t.Context(), wanted, func(ctx context.Context, r recipe) error {
		tried.Add(1)
		if r.suite == "a" {
			return broken
		}
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, broken)
	assert.NotContains(t, err.Error(), "\n", "one line, whatever else was given up")
	assert.LessOrEqual(t, tried.Load(), int32(abreast))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, atOnce(ctx, wanted, nil), context.Canceled)
}

func TestStampFollowsTheRecipe(t *testing.T) {
	m := maker{roots: t.TempDir()}
	r := recipe{suite: "trixie", packages: []string{"python3"}}
	tree := filepath.Join(m.roots, r.suite)
	require.NoError(t, os.Mkdir(tree, 0o755))
	assert.False(t, m.have(r), "a tree without a stamp is not whole")
	require.NoError(t, os.WriteFile(filepath.Join(tree, stampFile), []byte(r.stamp()), 0o644))
	assert.True(t, m.have(r))
	r.packages = append(r.packages, "python3-trio")
	assert.False(t, m.have(r))
}
