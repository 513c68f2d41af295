// SPDX-License-Identifier: Apache-2.0

package application

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

const site = "/opt/venv/lib/python3.12/site-packages/"

func TestNamed(t *testing.T) {
	for command, want := range map[string][]string{
		"":                           nil,
		"/usr/bin/python3 /srv/a.py": nil,
		"python3 -X dev -m shop.cli serve --port 80":                                      {"shop"},
		"python3 -m uvicorn shop.main:app --host 0.0.0.0":                                 {"shop"},
		"/opt/venv/bin/python3.12 /opt/venv/bin/uvicorn shop.main:create_app() --factory": {"shop"},
		"/usr/bin/python3 /usr/bin/gunicorn -k uvicorn.workers.UvicornWorker shop.wsgi":   {"shop"},
		"gunicorn: worker [shop.wsgi:application]":                                        {"worker", "shop"},
		"/usr/bin/python3 /usr/bin/celery --app=shop.tasks worker":                        {"shop", "worker"},
		"/usr/bin/python3 /usr/bin/twistd3 -n web --class shop.site.Root":                 {"web", "shop"},
		"/usr/bin/python3 /usr/bin/python3-coverage run -m shop":                          {"run", "shop"},
		"/usr/bin/python3 /usr/bin/python3.11-coverage run -m shop":                       {"run", "shop"},
		"/usr/bin/python3 /usr/bin/pytest-3 --pyargs shop.tests":                          {"shop"},
		"/usr/bin/python3 /usr/bin/dask-scheduler --preload shop.plugins":                 {"shop"},
		"/usr/bin/python3 /usr/bin/mitmdump -s shop.addons":                               {"shop"},
		"python3 -m aiohttp.web -P 80 shop.main:make_app":                                 {"shop"},
		"/usr/bin/python3 /usr/bin/shop3 serve redis":                                     nil,
		"python3 serve.py shop.main:app redis":                                            {"shop"},
		"python3 serve.py 127.0.0.1:8000 http://shop:80/ shop:80":                         nil,
		"python3 -c import shop.main:app":                                                 nil,
		"python3 -":                                                                       nil,
		"python3":                                                                         nil,
		"python3 -m":                                                                      nil,
	} {
		assert.Equal(t, want, named(command), command)
	}
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, file string
		matches       bool
	}{
		{"shop", site + "shop/views.py", true},
		{"shop", site + "shop.py", true},
		{"shop", site + "shopping/views.py", false},
		{"shop.plugins", "/srv/shop/plugins/pay.py", true},
		{"shop.plugins", "/srv/shop/plugins.py", true},
		{"shop.plugins", "/srv/shop/views.py", false},
		{"/srv/*", "/srv/shop/views.py", true},
		{"/srv/*/vendor/*.py", "/srv/shop/vendor/six.py", true},
		{"/srv/*/vendor/*.py", "/srv/shop/six.py", false},
		{"*/views.py", "/srv/shop/views.py", true},
		{"/srv/shop/views.py", "/srv/shop/views.pyc", false},
		{"/srv/*x*y*z", "/srv/xyz", true},
		{"/srv/*x*y*z", "/srv/xzy", false},
	} {
		p, err := ParsePattern(test.pattern, true)
		require.NoError(t, err)
		assert.Equal(t, test.matches, p.matches(test.file), "%s %s", test.pattern, test.file)
	}
	for _, bad := range []string{"", "a-b", "*", ".shop", "shop..views", "1st"} {
		_, err := ParsePattern(bad, true)
		assert.Error(t, err, bad)
	}
}

func TestPatternsDecide(t *testing.T) {
	var patterns Patterns
	for _, p := range []struct {
		text string
		app  bool
	}{{"/srv/*", false}, {"/srv/shop/*", true}, {"requests", true}} {
		parsed, err := ParsePattern(p.text, p.app)
		require.NoError(t, err)
		patterns = append(patterns, parsed)
	}
	a := New(patterns, "", nil)
	assert.False(t, a.IsApp("/srv/vendor/six.py"))
	assert.True(t, a.IsApp("/srv/shop/views.py"), "the longer one")
	assert.True(t, a.IsApp(site+"requests/api.py"))
	assert.True(t, a.IsApp("/home/me/app.py"), "of which they say nothing")
}

func TestCommandDecides(t *testing.T) {
	a := New(nil, "uvicorn shop.main:app", nil)
	assert.True(t, a.IsApp(site+"shop/views.py"))
	assert.False(t, a.IsApp(site+"requests/api.py"))
	assert.False(t, a.IsApp("/usr/lib/python3.12/shop.py"))
	a = New(nil, "uvicorn gevent.main:app", nil)
	assert.False(t, a.IsApp(site+"gevent/hub.py"), "machinery is never the application")
}

func TestLearnStart(t *testing.T) {
	frame := func(file string) model.Frame { return model.Frame{Function: "f", File: file} }
	for name, test := range map[string]struct {
		frames []model.Frame // innermost first
		app    bool
	}{
		"a script in bin":      {[]model.Frame{frame(site + "shop/server.py"), frame("/opt/venv/bin/shopd")}, true},
		"behind a framework":   {[]model.Frame{frame(site + "shop/server.py"), frame(site + "click/core.py"), frame("/opt/venv/bin/shopd")}, true},
		"python -m":            {[]model.Frame{frame(site + "shop/__main__.py"), frame("<frozen runpy>")}, true},
		"spawned":              {[]model.Frame{frame(site + "shop/work.py"), frame("/usr/lib/python3.12/multiprocessing/spawn.py"), frame("<string>")}, true},
		"a framework alone":    {[]model.Frame{frame(site + "uvicorn/main.py"), frame("/opt/venv/bin/uvicorn")}, false},
		"a program of its own": {[]model.Frame{frame(site + "shop/server.py"), frame("/srv/app.py")}, false},
		"another package":      {[]model.Frame{frame(site + "shop/server.py"), frame(site + "host/main.py"), frame("/usr/bin/host")}, false},
		"nothing":              {nil, false},
	} {
		a := New(nil, "", nil)
		assert.False(t, a.IsApp(site+"shop/views.py"), name)
		a.LearnStart(test.frames)
		assert.Equal(t, test.app, a.IsApp(site+"shop/views.py"), name)
	}
}

// tree is a directory as the files of a process.
type tree string

func (dir tree) ReadDir(path string, limit int) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(string(dir), path))
	var names []string
	for _, e := range entries[:min(len(entries), limit)] {
		names = append(names, e.Name())
	}
	return names, err
}

func (dir tree) ReadFile(path string, limit int64) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(string(dir), path))
	return b[:min(int64(len(b)), limit)], err
}

func TestInstalledFromSource(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, site, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	write("shop-1.0.dist-info/direct_url.json", `{"url": "file:///src/shop", "dir_info": {}}`)
	write("shop-1.0.dist-info/RECORD", "../../../bin/shopd,sha256=x,1\nshop/__init__.py,,\nshop/views.py,,\nshop_cli.py,,\nshop-1.0.dist-info/METADATA,,\n\"a,b\",,\n\"cut")
	write("fork-1.0.dist-info/direct_url.json", `{"url": "https://example.org/fork.git", "vcs_info": {"vcs": "git"}}`)
	write("fork-1.0.dist-info/RECORD", "forked/__init__.py,,\n")
	write("wheel-1.0.dist-info/direct_url.json", `{"url": "file:///w/wheel.whl", "archive_info": {}}`)
	write("wheel-1.0.dist-info/RECORD", "wheeled/__init__.py,,\n")
	write("requests-2.0.dist-info/RECORD", "requests/__init__.py,,\n")
	write("broken-2.0.dist-info/direct_url.json", "{")
	a := New(nil, "", tree(dir))
	a.IsApp(site + "requests/api.py")
	<-a.dirs["/opt/venv/lib/python3.12/site-packages"].done
	assert.True(t, a.IsApp(site+"shop/views.py"))
	assert.True(t, a.IsApp(site+"shop_cli.py"))
	assert.True(t, a.IsApp(site+"forked/x.py"))
	assert.False(t, a.IsApp(site+"wheeled/x.py"), "all of an image may have been installed so")
	assert.False(t, a.IsApp(site+"requests/api.py"), "and what was decided before is decided anew")
}

// silent never answers.
type silent chan struct{}

func (s silent) ReadDir(string, int) ([]string, error)  { <-s; return nil, errors.New("gone") }
func (s silent) ReadFile(string, int64) ([]byte, error) { <-s; return nil, errors.New("gone") }

func TestFilesThatDoNotAnswer(t *testing.T) {
	files := make(silent)
	a := New(nil, "", files)
	assert.False(t, a.IsApp(site+"requests/api.py"))
	assert.False(t, a.IsApp("/other/site-packages/requests/api.py"))
	assert.Len(t, a.dirs, 1, "one that does not answer is enough")
	close(files)
	<-a.dirs["/opt/venv/lib/python3.12/site-packages"].done
}
