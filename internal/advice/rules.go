// SPDX-License-Identifier: Apache-2.0

package advice

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

var (
	onTheWire = []model.Cause{model.CauseNet, model.CauseDNS}
	waiting   = []model.Cause{model.CauseFile, model.CausePipe, model.CauseLock}
	computing = []model.Cause{model.CauseCPU, model.CauseNative}
)

func only(c model.Cause) []model.Cause { return []model.Cause{c} }

// The first row that matches counts: rows that ask for more evidence stand before those that ask
// for less.
var rules = []rule{
	// Nobody's line.
	{causes: only(model.CauseThrottled),
		asyncio: "Raise the CPU quota of its cgroup, or use less CPU there; no line is to blame.",
		other:   "Raise the CPU quota of its cgroup, or use less CPU there; no line is to blame."},
	{causes: only(model.CauseRunqueue),
		asyncio: "Run less on these CPUs, or give it more of them; no line is to blame.",
		other:   "Run less on these CPUs, or give it more of them; no line is to blame."},
	{causes: only(model.CauseStopped),
		asyncio: "Find out who stops it: a signal, a debugger or tracer, or a cgroup's freezer.",
		other:   "Find out who stops it: a signal, a debugger or tracer, or a cgroup's freezer."},
	{causes: only(model.CauseGIL),
		asyncio: "Move what holds the GIL to another process, or have the extension release it; the loop's own code is not to blame.",
		other:   "Move what holds the GIL to another process, or have the extension release it; the loop's own code is not to blame."},

	// Wherever it happens.
	{causes: only(model.CauseGC),
		asyncio: "Keep fewer objects, or call gc.freeze() once start-up is over; the line that allocated is innocent.",
		other:   "Keep fewer objects, or call gc.freeze() once start-up is over; the line that allocated is innocent."},
	{causes: only(model.CauseImport),
		asyncio: "Import it when the program starts, not in a callback.",
		other:   "Import it when the program starts, not in a callback."},
	{causes: slices.Concat(waiting, computing), functions: []string{"create_default_context", "load_verify_locations", "load_default_certs"},
		asyncio: "Build the SSL context once and keep it: every time it reads all certificates.",
		other:   "Build the SSL context once and keep it: every time it reads all certificates."},
	{causes: waiting, libraries: []string{"logging"},
		asyncio: "Log through logging.handlers.QueueHandler and a QueueListener, so that a thread does the writing.",
		other:   "Log through logging.handlers.QueueHandler and a QueueListener, so that a thread does the writing."},

	// Libraries and peers.
	{causes: onTheWire, libraries: []string{"boto3", "botocore", "s3transfer"},
		asyncio: "Use aioboto3, or run the call in a thread ({thread}).", other: "Run the call in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"psycopg2", "pg8000"},
		asyncio: "Use asyncpg or psycopg's AsyncConnection, or run the query in a thread ({thread}).", other: "Run the query in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"psycopg"},
		asyncio: "Use psycopg's AsyncConnection, or run the query in a thread ({thread}).", other: "Run the query in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"pymysql", "MySQLdb", "mysql"},
		asyncio: "Use aiomysql or asyncmy, or run the query in a thread ({thread}).", other: "Run the query in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"redis"},
		asyncio: "Use redis.asyncio, which comes with the same package.", other: "Run the command in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"pymongo"},
		asyncio: "Use pymongo's AsyncMongoClient, or run the call in a thread ({thread}).", other: "Run the call in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"grpc"},
		asyncio: "Use grpc.aio, which comes with the same package.", other: "Run the call in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"requests", "urllib3", "urllib", "http", "httplib2"},
		asyncio: "Use httpx.AsyncClient or aiohttp, or run the call in a thread ({thread}).", other: "Run the call in a thread ({thread})."},
	{causes: onTheWire, libraries: []string{"smtplib", "ftplib", "imaplib", "poplib", "paramiko", "ldap3", "pika", "kafka"},
		asyncio: "Run the call in a thread ({thread}), or use an asynchronous client.", other: "Run the call in a thread ({thread})."},
	{causes: only(model.CauseDNS), functions: []string{"getaddrinfo"},
		asyncio: "Await loop.getaddrinfo instead; it takes a thread of the default executor, so mind how many that has.",
		other:   "Resolve the name in a thread ({thread})."},
	{causes: only(model.CauseNet), ports: []string{"5432"},
		asyncio: "That is PostgreSQL's port: use asyncpg or psycopg's AsyncConnection, or run the query in a thread ({thread}).",
		other:   "Run the query in a thread ({thread})."},
	{causes: only(model.CauseNet), ports: []string{"3306"},
		asyncio: "That is MySQL's port: use aiomysql or asyncmy, or run the query in a thread ({thread}).", other: "Run the query in a thread ({thread})."},
	{causes: only(model.CauseNet), ports: []string{"6379"},
		asyncio: "That is Redis's port: use redis.asyncio, or run the command in a thread ({thread}).", other: "Run the command in a thread ({thread})."},
	{causes: onTheWire,
		asyncio: "Use an asynchronous client, or run the call in a thread ({thread}).", other: "Run the call in a thread ({thread})."},

	// Waiting.
	{causes: only(model.CauseSleep), direct: true,
		asyncio: "Use `await asyncio.sleep(…)`.", other: ""},
	{causes: only(model.CauseSubprocess),
		asyncio: "Use asyncio.create_subprocess_exec, or wait for the child in a thread ({thread}).",
		other:   "Start the child and wait for it in a thread ({thread})."},
	{causes: only(model.CauseFile), libraries: []string{"sqlite3"}, natives: []string{"_sqlite3"},
		asyncio: "Use aiosqlite, or run the query in a thread ({thread}).", other: "Run the query in a thread ({thread})."},
	{causes: only(model.CauseFile),
		asyncio: "Do the file's work in a thread ({thread}).", other: "Do the file's work in a thread ({thread})."},
	{causes: only(model.CausePipe),
		asyncio: "The other end is slow: use the loop's pipe transports, or a thread ({thread}).", other: "The other end is slow: use a thread ({thread})."},
	{causes: only(model.CauseLock),
		asyncio: "Hold the lock for a shorter time, or use asyncio.Lock where no other thread needs it.",
		other:   "Hold the lock for a shorter time, or use the loop's own lock where no other thread needs it."},

	// Computing: whether the GIL is held decides between a thread and a process.
	{causes: computing, libraries: []string{"json", "simplejson", "pydantic", "yaml", "xml"}, natives: []string{"_json", "_pydantic_core", "_yaml", "pyexpat", "_elementtree"}, gil: model.GILHeld,
		asyncio: "Take the data in smaller pieces, or use a process pool; it holds the GIL, so a thread does not help.",
		other:   "Take the data in smaller pieces, or use a process pool; it holds the GIL, so a thread does not help."},
	{causes: computing, libraries: []string{"re", "sre_compile", "regex"}, natives: []string{"_sre", "_regex"}, gil: model.GILHeld,
		asyncio: "Use a simpler pattern or a process pool; matching holds the GIL, so a thread does not help.",
		other:   "Use a simpler pattern or a process pool; matching holds the GIL, so a thread does not help."},
	{causes: only(model.CauseNative), gil: model.GILReleased,
		asyncio: "A thread is enough ({thread}): it does not hold the GIL.", other: "A thread is enough ({thread}): it does not hold the GIL."},
	{causes: only(model.CauseNative), gil: model.GILHeld,
		asyncio: "Use a process pool; it holds the GIL, so a thread does not help.",
		other:   "Use a process pool; it holds the GIL, so a thread does not help."},
	{causes: only(model.CauseCPU),
		asyncio: "Do it in a process pool, or in pieces with `await asyncio.sleep(0)` between; Python code holds the GIL, so a thread does not help.",
		other:   "Do it in a process pool, or in pieces; Python code holds the GIL, so a thread does not help."},
}
