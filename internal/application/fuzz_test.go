// SPDX-License-Identifier: Apache-2.0

package application

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzInstalled reads whatever there is as what an installer wrote.
func FuzzInstalled(f *testing.F) {
	f.Add([]byte("shop/__init__.py,sha256=x,10\nshop_cli.py,,\n\"a,b/c.py\",,\n"))
	f.Add([]byte(`{"url": "file:///srv", "dir_info": {"editable": true}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = isFromSource(b)
		for _, top := range topLevel(b) {
			require.True(t, isIdentifier(top), "%q", top)
		}
	})
}

// FuzzCommand reads whatever there is as a command line, and as the name of a file of a program.
func FuzzCommand(f *testing.F) {
	f.Add("python3 -m uvicorn --app=shop.main:app", "/srv/shop/main.py", "shop.*")
	f.Add("gunicorn: worker [shop.wsgi:app]", "site-packages/../x.py", "/srv/*/x*")
	f.Fuzz(func(t *testing.T, command, file, pattern string) {
		for _, name := range named(command) {
			require.True(t, isIdentifier(name), "%q", name)
		}
		p, err := ParsePattern(pattern, true)
		if err != nil {
			return
		}
		_, _ = Patterns{p}.says(file)
		a := New(Patterns{p}, command, nil)
		require.Equal(t, a.decide(file), a.IsApp(file))
	})
}
