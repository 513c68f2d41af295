// SPDX-License-Identifier: Apache-2.0

package eventloop

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Package returns the top-level package that a file was installed as, and the directory it was installed into:
// "/usr/lib/python3/dist-packages/shop/views.py" is of "shop" in "/usr/lib/python3/dist-packages". Both are empty for a
// file that is not installed as a package.
func Package(file string) (name, dir string) {
	at := 0
	for rest := file; ; {
		elem, after, more := strings.Cut(rest, "/")
		if !more {
			break
		}
		rest = after
		if holdsPackages(elem) {
			at = len(file) - len(rest)
		}
	}
	if at == 0 {
		return "", ""
	}
	name, _, _ = strings.Cut(file[at:], "/")
	name, _, _ = strings.Cut(name, ".") // of a module that is a file
	return name, file[:at-1]
}

// holdsPackages reports whether packages are installed into a directory of this name, or used as they were packed.
func holdsPackages(name string) bool {
	return name == "site-packages" || name == "dist-packages" || strings.HasSuffix(name, ".whl") || strings.HasSuffix(name, ".egg")
}

// IsFramework reports whether a top-level package is one that runs applications: a server, a web framework, a task queue, a
// test runner, a tool that starts programs, or what these are made of. Where it is on a stack together with another
// package, that one is more likely to be the application.
func IsFramework(name string) bool {
	_, known := frameworks[name]
	return known || strings.HasPrefix(name, "pytest_")
}

// frameworks are packages by their import names.
var frameworks = setOf(
	// Servers.
	"uvicorn", "gunicorn", "hypercorn", "daphne", "granian", "waitress", "meinheld", "bjoern", "uwsgi", "mod_wsgi",
	// What servers are made of.
	"h11", "h2", "hpack", "httptools", "wsproto", "websockets", "wsaccel", "priority", "a2wsgi", "asgiref", "sse_starlette",
	// Frameworks of the web.
	"starlette", "fastapi", "aiohttp", "aiohttp_jinja2", "aiohttp_cors", "tornado", "twisted", "klein", "autobahn", "txaio", "django",
	"channels", "rest_framework", "ninja", "flask", "flask_restful", "flask_sqlalchemy", "werkzeug", "quart", "sanic", "sanic_routing",
	"falcon", "bottle", "pyramid", "cherrypy", "cheroot", "litestar", "blacksheep", "robyn", "responder", "japronto", "vibora", "muffin",
	"socketio", "engineio", "graphql", "strawberry", "ariadne", "graphene", "nicegui", "streamlit", "gradio", "dash", "reactpy", "chalice",
	"mangum", "whitenoise", "prometheus_fastapi_instrumentator", "slowapi", "connexion", "zope", "WebOb", "webob", "paste",
	// Queues, workers, bots and protocols that call handlers.
	"celery", "kombu", "billiard", "vine", "amqp", "rq", "dramatiq", "huey", "arq", "taskiq", "faust", "mode", "nameko", "procrastinate",
	"apscheduler", "aiocron", "temporalio", "prefect", "dagster", "airflow", "luigi", "distributed", "dask", "ray", "scrapy", "itemadapter",
	"locust", "aiogram", "telegram", "telethon", "pyrogram", "discord", "slack_bolt", "slack_sdk", "grpc", "grpclib", "zmq", "aiosmtpd",
	"asyncssh", "mitmproxy", "jsonrpc", "aiorpcx", "aio_pika", "aiormq", "faststream", "nats", "paho", "aiomqtt",
	// Loops, and what is between them and an application.
	"asyncio", "uvloop", "anyio", "sniffio", "outcome", "trio", "trio_asyncio", "curio", "gevent", "geventwebsocket", "eventlet", "greenlet",
	"nest_asyncio", "aiorun", "qasync", "asyncio_mqtt", "aiotools", "aiojobs", "async_timeout", "exceptiongroup", "tenacity", "backoff",
	// What wraps functions of an application.
	"cachetools", "aiocache", "async_lru", "prometheus_client", "deprecated", "limits", "ratelimit", "retrying", "stamina", "pybreaker", "structlog",
	"corsheaders", "debug_toolbar", "social_django",
	"decorator", "wrapt", "makefun", "pydantic", "pydantic_core", "attr", "attrs", "dependency_injector", "injector", "typeguard", "beartype",
	// Notebooks.
	"ipykernel", "ipykernel_launcher", "IPython", "jupyter_client", "jupyter_core", "jupyter_server", "jupyterlab", "notebook", "nbclient", "traitlets",
	// What starts programs, and what watches them.
	"click", "typer", "rich_click", "cyclopts", "fire", "docopt", "absl", "hydra", "invoke", "pex", "_pex", "shiv", "pkg_resources",
	"setuptools", "pip", "pipx", "watchfiles", "watchdog", "watchgod", "honcho", "supervisor", "dotenv", "setproctitle", "ddtrace", "newrelic",
	"elasticapm", "opentelemetry", "sentry_sdk", "scout_apm", "coverage", "debugpy", "pydevd", "_pydevd_bundle", "viztracer", "scalene",
	"memray", "pyinstrument", "line_profiler", "yappi",
	// Test runners.
	"pytest", "_pytest", "pluggy", "xdist", "execnet", "nose", "nose2", "behave", "robot", "hypothesis", "tox", "nox",
)

func setOf(names ...string) map[string]struct{} {
	out := make(map[string]struct{}, len(names))
	for _, name := range names {
		out[name] = struct{}{}
	}
	return out
}

// isExtension reports whether a package is called as extensions of frameworks are: "flask_login", "aiohttp_session". An
// application may be called so, too.
func isExtension(name string) bool {
	framework, _, found := strings.Cut(name, "_")
	return found && (IsFramework(framework) || framework == "asgi" || framework == "wsgi" || framework == "drf")
}

// installedCulprit returns the frame to name where no frame of the application is known inside the loop: the outermost
// package there that is no framework, nor the extension of one, is what the loop was made to run, and the innermost frame of
// it is where that stands. Where there are only extensions, it is one of them.
func installedCulprit(inside []model.Frame) *model.Frame {
	if f := outermostPackage(inside, func(name string) bool { return !IsFramework(name) && !isExtension(name) }); f != nil {
		return f
	}
	return outermostPackage(inside, func(name string) bool { return !IsFramework(name) })
}

// outermostPackage returns the innermost frame of the outermost package that is wanted.
func outermostPackage(inside []model.Frame, wanted func(name string) bool) *model.Frame {
	for outer := len(inside) - 1; outer >= 0; outer-- {
		if isMachinery(inside[outer].File) {
			continue
		}
		name, dir := Package(inside[outer].File)
		if name == "" || !wanted(name) {
			continue
		}
		for i := range inside {
			if of, in := Package(inside[i].File); of == name && in == dir {
				return &inside[i]
			}
		}
	}
	return nil
}
