// SPDX-License-Identifier: Apache-2.0

package application

import (
	"path"
	"strings"

	"github.com/loopwatch/loopwatch/internal/eventloop"
)

// named returns the top-level packages that a command line names as what to run, frameworks left out: "shop" for
// "uvicorn shop.main:app", "gunicorn -k gevent shop.wsgi", "celery -A shop worker", "python -m shop".
func named(command string) (out []string) {
	args := strings.Fields(command)
	if len(args) == 0 {
		return nil
	}
	launcher := programName(args[0])
	args = args[1:]
	if strings.HasPrefix(launcher, "python") || strings.HasPrefix(launcher, "pypy") {
		launcher, args = script(args)
		if strings.HasPrefix(launcher, "-m ") {
			launcher = strings.TrimPrefix(launcher, "-m ")
			if isDotted(launcher) {
				out = appendPackage(out, launcher)
			}
		}
	}
	runsOthers := isLauncher(launcher)
	for _, arg := range args {
		arg = strings.Trim(arg, "[]") // "gunicorn: worker [shop.wsgi:app]"
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
			arg = value // --app=shop.main
		}
		module, attribute, colon := strings.Cut(arg, ":")
		attribute, _, _ = strings.Cut(attribute, "(") // a call of a factory
		if !isDotted(module) || colon && !isDotted(attribute) || !colon && !runsOthers {
			continue
		}
		out = appendPackage(out, module)
	}
	return out
}

// launchers are programs that run what their arguments name and whose names are not those of frameworks.
var launchers = map[string]bool{
	"twistd": true, "twist": true, "trial": true, "django-admin": true, "manage.py": true, "ddtrace-run": true, "mitmdump": true, "mitmweb": true,
}

// isLauncher reports whether a program or module runs what its arguments name: a framework's command ("celery", "dask-worker",
// "aiohttp.web"), also as distributions call it beside another Python's ("twistd3", "pytest-3", "python3-coverage").
func isLauncher(name string) bool {
	if before, after, found := strings.Cut(name, "-"); found && isVersioned(before) {
		name = after
	}
	name = strings.TrimRight(strings.TrimRight(name, "0123456789."), "-")
	top := name
	if at := strings.IndexAny(name, ".-"); at >= 0 {
		top = name[:at]
	}
	return launchers[name] || eventloop.IsFramework(top)
}

// isVersioned reports whether a name is that of an interpreter: "python3", "python3.11".
func isVersioned(name string) bool {
	return strings.TrimRight(name, "0123456789.") == "python"
}

// script returns what an interpreter was told to run, "-m NAME" for a module, and the arguments after it.
func script(args []string) (program string, rest []string) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-m" && i+1 < len(args):
			return "-m " + args[i+1], args[i+2:]
		case arg == "-c" || arg == "-":
			return "", nil
		case arg == "-X" || arg == "-W":
			i++
		case !strings.HasPrefix(arg, "-"):
			return programName(arg), args[i+1:]
		}
	}
	return "", nil
}

func programName(file string) string { return strings.TrimSuffix(path.Base(file), ":") }

func appendPackage(out []string, module string) []string {
	top, _, _ := strings.Cut(module, ".")
	if eventloop.IsFramework(top) {
		return out
	}
	return append(out, top)
}
