// SPDX-License-Identifier: Apache-2.0

package advice

import "github.com/loopwatch/loopwatch/internal/model"

type causes []model.Cause

var (
	remote    = causes{model.CauseNet, model.CauseDNS}
	client    = causes{model.CauseNet, model.CauseDNS, model.CauseSleep, model.CauseLock, model.CausePipe} // what a client library may wait in
	waiting   = causes{model.CauseFile, model.CausePipe, model.CauseLock}
	computing = causes{model.CauseCPU, model.CauseNative}
	reading   = causes{model.CauseFile, model.CausePipe, model.CauseLock, model.CauseCPU, model.CauseNative}
	processes = causes{model.CauseSubprocess, model.CausePipe, model.CauseLock, model.CauseNet}
	children  = causes{model.CauseSubprocess, model.CausePipe}
	lock      = causes{model.CauseLock}
	locking   = causes{model.CauseLock, model.CauseFile}
	resting   = causes{model.CauseNet, model.CausePipe, model.CauseSleep, model.CauseUnknown} // what a loop's own wait may be told as
	pipe      = causes{model.CausePipe}
	sleep     = causes{model.CauseSleep}
	net       = causes{model.CauseNet}
	dns       = causes{model.CauseDNS}
	file      = causes{model.CauseFile}
)

const (
	inThread  = "Run the call in a thread ({thread})."
	queryElse = "Run the query in a thread ({thread})."
	pieces    = "Take the data in smaller pieces, or use a process pool; it holds the GIL, so a thread does not help."
)

// The first row that matches counts: rows that ask for more evidence stand before those that ask
// for less. "name.function" in calls is a function of a library.
var rules = []rule{
	// Nobody's line.
	{causes: causes{model.CauseThrottled}, all: "Raise the CPU quota of its cgroup, or use less CPU there; no line is to blame."},
	{causes: causes{model.CauseRunqueue}, all: "Run less on these CPUs, or give it more of them; no line is to blame."},
	{causes: causes{model.CauseStopped}, all: "Find out who stops it: a signal, a debugger or tracer, or a cgroup's freezer."},
	{causes: causes{model.CauseGIL}, all: "Move what holds the GIL to another process, or have the extension release it; the loop's own code is not to blame."},

	// Wherever it happens.
	{causes: causes{model.CauseGC}, all: "Keep fewer objects, or call gc.freeze() once start-up is over; the line that allocated is innocent."},
	{causes: causes{model.CauseImport}, all: "Import it when the program starts, not in a callback."},
	{during: model.CauseGC, all: "Release what the object holds by hand, as in a with statement, so that no finalizer has to wait for it."},
	{causes: reading, functions: []string{"create_default_context", "load_verify_locations", "load_default_certs"},
		all: "Build the SSL context once and keep it: every time it reads all certificates."},
	{causes: waiting, libraries: []string{"logging"},
		all: "Log through logging.handlers.QueueHandler and a QueueListener, so that a thread does the writing."},
	{causes: resting, loop: true, all: "The line runs another loop inside a callback: use one loop for both, and await there what it runs; or run it in a thread."},

	// Libraries and peers.
	{causes: client, libraries: []string{"boto3", "botocore", "s3transfer"}, asyncio: "Use aioboto3, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"elasticsearch", "elastic_transport"}, asyncio: "Use AsyncElasticsearch, which comes with the same package.", other: inThread},
	{causes: client, libraries: []string{"django"}, asyncio: "Use the asynchronous methods of Django's ORM (aget, acreate, …), or wrap the call in asgiref's sync_to_async.", other: inThread},
	{causes: lock, libraries: []string{"sqlalchemy"},
		all: "The connection pool has none left: give connections back sooner, or raise pool_size; create_async_engine waits without blocking."},
	{causes: lock, libraries: []string{"psycopg_pool"}, asyncio: "The connection pool has none left: give connections back sooner, or use AsyncConnectionPool.", other: inThread},
	{causes: remote, libraries: []string{"sqlalchemy"}, asyncio: "Use SQLAlchemy's create_async_engine, or run the query in a thread ({thread}).", other: queryElse},
	{causes: client, libraries: []string{"psycopg2", "pg8000"}, asyncio: "Use asyncpg or psycopg's AsyncConnection, or run the query in a thread ({thread}).", other: queryElse},
	{causes: client, libraries: []string{"psycopg"}, asyncio: "Use psycopg's AsyncConnection, or run the query in a thread ({thread}).", other: queryElse},
	{causes: client, libraries: []string{"pymysql", "MySQLdb", "mysql"}, asyncio: "Use aiomysql or asyncmy, or run the query in a thread ({thread}).", other: queryElse},
	{causes: client, libraries: []string{"redis"}, asyncio: "Use redis.asyncio, which comes with the same package.", other: "Run the command in a thread ({thread})."},
	{causes: client, libraries: []string{"pymongo"}, asyncio: "Use pymongo's AsyncMongoClient, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"grpc"}, asyncio: "Use grpc.aio, which comes with the same package.", other: inThread},
	{causes: client, libraries: []string{"zmq"}, asyncio: "Use zmq.asyncio, which comes with the same package.", other: inThread},
	{causes: client, libraries: []string{"paramiko"}, asyncio: "Use asyncssh, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"smtplib"}, asyncio: "Use aiosmtplib, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"ftplib"}, asyncio: "Use aioftp, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"kafka", "confluent_kafka"}, asyncio: "Use aiokafka, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"pika"}, asyncio: "Use aio-pika, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"httpx", "requests", "urllib3", "urllib", "http", "httplib2"}, asyncio: "Use httpx.AsyncClient or aiohttp, or run the call in a thread ({thread}).", other: inThread},
	{causes: client, libraries: []string{"imaplib", "poplib", "ldap3"}, asyncio: "Run the call in a thread ({thread}), or use an asynchronous client.", other: inThread},
	{causes: dns, functions: []string{"getaddrinfo", "getfqdn"},
		asyncio: "Await loop.getaddrinfo instead; it takes a thread of the default executor, so mind how many that has.",
		other:   "Resolve the name in a thread ({thread})."},
	{causes: dns, direct: true, asyncio: "Await loop.getaddrinfo, use an asynchronous client, or run the call in a thread ({thread}).", other: "Resolve the name in a thread ({thread})."},
	{causes: net, ports: []string{"5432"}, asyncio: "That is PostgreSQL's port: use asyncpg or psycopg's AsyncConnection, or run the query in a thread ({thread}).", other: queryElse},
	{causes: net, ports: []string{"3306"}, asyncio: "That is MySQL's port: use aiomysql or asyncmy, or run the query in a thread ({thread}).", other: queryElse},
	{causes: net, ports: []string{"6379"}, asyncio: "That is Redis's port: use redis.asyncio, or run the command in a thread ({thread}).", other: "Run the command in a thread ({thread})."},
	{causes: processes, libraries: []string{"multiprocessing", "multiprocess", "billiard"},
		asyncio: "Await loop.run_in_executor with a concurrent.futures.ProcessPoolExecutor, or do this in a thread ({thread}).", other: "Wait for the other process in a thread ({thread})."},
	{causes: net, libraries: []string{"ssl"}, asyncio: "Use asyncio.open_connection with ssl=…, which also does the handshake, or run the call in a thread ({thread}).", other: inThread},
	{causes: net, calls: []string{"socket.create_connection"}, asyncio: "Use asyncio.open_connection, or run the call in a thread ({thread}).", other: inThread},
	{causes: remote, asyncio: "Use an asynchronous client, or run the call in a thread ({thread}).", other: inThread},

	// Children.
	{causes: children, libraries: []string{"pexpect", "ptyprocess"}, asyncio: "Await pexpect's expect(…, async_=True), or do this in a thread ({thread}).", other: inThread},
	{causes: children, libraries: []string{"subprocess"},
		asyncio: "Use asyncio.create_subprocess_exec, and await its communicate() or wait().", other: "Start the child and wait for it in a thread ({thread})."},
	{causes: causes{model.CauseSubprocess},
		asyncio: "Use asyncio.create_subprocess_exec or create_subprocess_shell, or wait for the child in a thread ({thread}).",
		other:   "Start the child and wait for it in a thread ({thread})."},

	// Sleeping.
	{causes: sleep, syscalls: []string{"pause", "rt_sigsuspend", "rt_sigtimedwait"}, asyncio: "Use loop.add_signal_handler.", other: "Wait for the signal in a thread ({thread})."},
	{causes: sleep, direct: true, asyncio: "Use `await asyncio.sleep(…)`.", other: ""},
	{causes: sleep, asyncio: "The library sleeps: run the call in a thread ({thread}).", other: inThread},

	// Files, pipes, terminals.
	{causes: locking, syscalls: []string{"flock", "fcntl"}, all: "Take the lock on the file in a thread ({thread})."},
	{causes: file, libraries: []string{"sqlite3"}, asyncio: "Use aiosqlite, or run the query in a thread ({thread}).", other: queryElse},
	{causes: file, all: "Do the file's work in a thread ({thread})."},
	{causes: pipe, targets: []string{"eventfd"},
		asyncio: "Another thread has to signal it: with ZeroMQ use zmq.asyncio, else wait in a thread ({thread}).", other: "Another thread has to signal it: wait in a thread ({thread})."},
	{causes: pipe, targets: []string{"tty "}, all: "Read from the terminal and write to it in a thread ({thread})."},
	{causes: pipe, syscalls: []string{"write", "writev"}, all: "Who reads the other end is slow: write in a thread ({thread})."},
	{causes: pipe,
		asyncio: "The other end is slow: a child's output is awaited by asyncio.create_subprocess_exec, else use the loop's pipe transports or a thread ({thread}).",
		other:   "The other end is slow: use a thread ({thread})."},

	// Other threads.
	{causes: lock, calls: []string{"concurrent.shutdown", "concurrent.__exit__"},
		asyncio: "Await loop.run_in_executor for each call, and shut the executor down with wait=False or in a thread.", other: "Shut the executor down in a thread ({thread})."},
	{causes: lock, calls: []string{"concurrent.result", "concurrent.exception", "concurrent.wait", "concurrent.as_completed", "concurrent.result_iterator"},
		asyncio: "Await the future: asyncio.wrap_future(future), or loop.run_in_executor in place of submit.", other: "Wait for the future in a thread ({thread})."},
	{causes: lock, libraries: []string{"queue"},
		asyncio: "Use asyncio.Queue; another thread puts by loop.call_soon_threadsafe. Or call it in a thread ({thread}).", other: "Call it in a thread ({thread}), or use the loop's own queue."},
	{causes: lock, calls: []string{"threading.join"},
		asyncio: "Await asyncio.to_thread(…) in place of starting and joining a thread, or join it in a thread.", other: "Join it in a thread ({thread})."},
	{causes: lock, calls: []string{"threading.wait", "threading.wait_for"},
		asyncio: "Use asyncio.Event or asyncio.Condition; another thread sets it by loop.call_soon_threadsafe. Or wait in a thread ({thread}).",
		other:   "Wait in a thread ({thread}), or use the loop's own event."},
	{causes: lock,
		asyncio: "Hold the lock for a shorter time, or use asyncio.Lock where no other thread needs it.",
		other:   "Hold the lock for a shorter time, or use the loop's own lock where no other thread needs it."},

	// Computing: whether the GIL is held decides between a thread and a process.
	{causes: computing, libraries: []string{"json", "simplejson", "pydantic", "yaml", "xml", "pickle", "copy", "csv"},
		natives: []string{"_json", "_pydantic_core", "_yaml", "pyexpat", "_elementtree", "_pickle", "_csv"}, gil: model.GILHeld, all: pieces},
	{causes: computing, libraries: []string{"re", "sre_compile", "regex"}, natives: []string{"_sre", "_regex"}, gil: model.GILHeld,
		all: "Use a simpler pattern or a process pool; matching holds the GIL, so a thread does not help."},
	{causes: causes{model.CauseNative}, gil: model.GILReleased, all: "A thread is enough ({thread}): it does not hold the GIL."},
	{causes: causes{model.CauseNative}, gil: model.GILHeld, all: "Use a process pool; it holds the GIL, so a thread does not help."},
	{causes: causes{model.CauseCPU},
		asyncio: "Do it in a process pool, or in pieces with `await asyncio.sleep(0)` between; Python code holds the GIL, so a thread does not help.",
		other:   "Do it in a process pool, or in pieces; Python code holds the GIL, so a thread does not help."},
}
