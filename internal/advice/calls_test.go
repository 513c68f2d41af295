// SPDX-License-Identifier: Apache-2.0

package advice

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
)

// call is a call that people block loops with: what it looks like, and a phrase of the right answer.
type call struct {
	what   string
	cause  model.Cause
	stack  []string // innermost first, inside the application's line
	detail model.Detail
	phrase string
}

// readLine is how the standard library reads from a socket.
func readLine(inside ...string) []string {
	return append([]string{std + "socket.py SocketIO.readinto"}, inside...)
}

func acquire(inside ...string) []string {
	return append([]string{std + "threading.py Condition.wait"}, inside...)
}

func of(syscall, target string) model.Detail { return model.Detail{Syscall: syscall, Target: target} }

const (
	peer     = "tcp 192.0.2.7:443"
	toThread = "asyncio.to_thread"
)

// calls are what people really call, with the stacks that these calls have.
var calls = []call{
	// Time and signals.
	{"time.sleep", model.CauseSleep, nil, of("clock_nanosleep", ""), "asyncio.sleep"},
	{"select without descriptors", model.CauseSleep, nil, of("select", ""), "asyncio.sleep"},
	{"signal.pause", model.CauseSleep, nil, of("pause", ""), "add_signal_handler"},
	{"signal.sigwait", model.CauseSleep, nil, of("rt_sigtimedwait", ""), "add_signal_handler"},
	{"tenacity", model.CauseSleep, []string{site + "tenacity/nap.py sleep", site + "tenacity/__init__.py Retrying.__call__"}, of("clock_nanosleep", ""), toThread},
	{"urllib3's wait before it tries again", model.CauseSleep, []string{dist + "urllib3/util/retry.py Retry.sleep", dist + "requests/api.py get"}, of("clock_nanosleep", ""), "httpx"},
	{"boto3's wait before it tries again", model.CauseSleep, []string{site + "botocore/endpoint.py Endpoint._needs_retry", site + "boto3/resources/action.py __call__"}, of("clock_nanosleep", ""), "aioboto3"},

	// Peers.
	{"requests.get", model.CauseNet, readLine(std+"http/client.py HTTPResponse.begin", dist+"urllib3/connectionpool.py urlopen", dist+"requests/api.py get"), of("recvfrom", peer), "httpx"},
	{"the handshake in requests", model.CauseNet, []string{std + "ssl.py SSLSocket.do_handshake", dist + "urllib3/connection.py connect", dist + "requests/api.py get"}, of("read", peer), "httpx"},
	{"urllib.request.urlopen", model.CauseNet, readLine(std+"http/client.py HTTPResponse.begin", std+"urllib/request.py urlopen"), of("recvfrom", peer), "httpx"},
	{"httpx.get", model.CauseNet, []string{site + "httpcore/_backends/sync.py read", site + "httpx/_client.py Client.get"}, of("recvfrom", peer), "httpx.AsyncClient"},
	{"boto3", model.CauseNet, readLine(site+"urllib3/x.py f", site+"botocore/httpsession.py send", site+"boto3/s3/inject.py upload_file"), of("recvfrom", peer), "aioboto3"},
	{"psycopg2", model.CauseNet, nil, of("poll", "tcp 127.0.0.1:5432"), "asyncpg"},
	{"pymysql", model.CauseNet, readLine(dist + "pymysql/connections.py Connection._read_bytes"), of("recvfrom", "tcp 127.0.0.1:3306"), "aiomysql"},
	{"mysqlclient", model.CauseNet, nil, of("recvfrom", "tcp 127.0.0.1:3306"), "aiomysql"},
	{"redis", model.CauseNet, []string{dist + "redis/_parsers/socket.py _read_from_socket", dist + "redis/client.py Redis.get"}, of("recvfrom", "tcp 127.0.0.1:6379"), "redis.asyncio"},
	{"a full pool of redis", model.CauseLock, acquire(std+"queue.py Queue.get", dist+"redis/connection.py BlockingConnectionPool.get_connection"), of("futex", ""), "redis.asyncio"},
	{"pymongo", model.CauseNet, []string{site + "pymongo/network_layer.py receive_data", site + "pymongo/collection.py find_one"}, of("recvfrom", "tcp 192.0.2.7:27017"), "AsyncMongoClient"},
	{"pymongo selects a server", model.CauseLock, acquire(site + "pymongo/topology.py select_servers"), of("futex", ""), "AsyncMongoClient"},
	{"SQLAlchemy over psycopg2", model.CauseNet, []string{dist + "sqlalchemy/engine/default.py do_execute", dist + "sqlalchemy/engine/base.py execute"}, of("poll", "tcp 127.0.0.1:5432"), "create_async_engine"},
	{"a full pool of SQLAlchemy", model.CauseLock, acquire(dist+"sqlalchemy/util/queue.py Queue.get", dist+"sqlalchemy/pool/impl.py QueuePool._do_get"), of("futex", ""), "pool_size"},
	{"Django's ORM", model.CauseNet, []string{dist + "django/db/backends/utils.py execute", dist + "django/db/models/query.py get"}, of("poll", "tcp 127.0.0.1:5432"), "aget"},
	{"smtplib", model.CauseNet, readLine(std + "smtplib.py SMTP.getreply"), of("recvfrom", "tcp 192.0.2.7:25"), "aiosmtplib"},
	{"ftplib", model.CauseNet, readLine(std + "ftplib.py FTP.getline"), of("recvfrom", "tcp 192.0.2.7:21"), "aioftp"},
	{"imaplib", model.CauseNet, readLine(std + "imaplib.py IMAP4.readline"), of("recvfrom", "tcp 192.0.2.7:143"), toThread},
	{"paramiko", model.CauseLock, acquire(std+"threading.py Event.wait", site+"paramiko/client.py SSHClient.exec_command"), of("futex", ""), "asyncssh"},
	{"grpc", model.CauseLock, []string{dist + "grpc/_channel.py _UnaryUnaryMultiCallable.__call__"}, of("futex", ""), "grpc.aio"},
	{"zmq", model.CausePipe, []string{dist + "zmq/sugar/socket.py Socket.recv_string"}, of("poll", "eventfd"), "zmq.asyncio"},
	{"zmq, of which only C is there", model.CausePipe, nil, of("poll", "eventfd"), "zmq.asyncio"},
	{"socket.recv", model.CauseNet, nil, of("recvfrom", peer), "asynchronous client"},
	{"socket.create_connection", model.CauseNet, []string{std + "socket.py create_connection"}, of("connect", peer), "open_connection"},
	{"a handshake", model.CauseNet, []string{std + "ssl.py SSLSocket.do_handshake"}, of("read", peer), "open_connection"},
	{"select.select", model.CauseNet, nil, of("select", peer), "asynchronous client"},
	{"socket.getaddrinfo", model.CauseDNS, []string{std + "socket.py getaddrinfo"}, of("poll", "udp 192.0.2.1:53"), "loop.getaddrinfo"},
	{"socket.gethostbyname", model.CauseDNS, nil, of("poll", "udp 192.0.2.1:53"), "loop.getaddrinfo"},

	// Children and processes.
	{"subprocess.run", model.CauseSubprocess, []string{std + "subprocess.py Popen._wait", std + "subprocess.py run"}, of("wait4", "child 7"), "create_subprocess_exec"},
	{"subprocess.check_output", model.CausePipe, []string{std + "subprocess.py Popen.communicate", std + "subprocess.py check_output"}, of("read", "pipe"), "create_subprocess_exec"},
	{"communicate on two pipes", model.CausePipe, []string{std + "selectors.py PollSelector.select", std + "subprocess.py Popen._communicate"}, of("poll", "pipe"), "create_subprocess_exec"},
	{"os.system", model.CauseSubprocess, nil, of("wait4", "child 7"), "create_subprocess_shell"},
	{"os.popen().read", model.CausePipe, nil, of("read", "pipe"), "create_subprocess"},
	{"closing what os.popen made", model.CauseSubprocess, []string{std + "subprocess.py Popen.wait", std + "os.py _wrap_close.close"}, of("wait4", "child 7"), "create_subprocess"},
	{"pexpect", model.CausePipe, []string{site + "pexpect/pty_spawn.py read_nonblocking"}, of("select", "tty /dev/ptmx"), "async_=True"},
	{"Process.join", model.CauseSubprocess, []string{std + "multiprocessing/popen_fork.py Popen.poll", std + "multiprocessing/process.py BaseProcess.join"}, of("wait4", "child 7"), "ProcessPoolExecutor"},
	{"Pool.map", model.CauseLock, acquire(std+"threading.py Event.wait", std+"multiprocessing/pool.py Pool.map"), of("futex", ""), "ProcessPoolExecutor"},
	{"multiprocessing's Queue.get", model.CausePipe, []string{std + "multiprocessing/connection.py Connection._recv", std + "multiprocessing/queues.py Queue.get"}, of("read", "pipe"), toThread},

	// Files and terminals.
	{"open().read", model.CauseFile, nil, of("read", "/srv/big"), toThread},
	{"shutil.copy", model.CauseFile, []string{std + "shutil.py copyfile", std + "shutil.py copy"}, of("sendfile", "/srv/big"), toThread},
	{"glob", model.CauseFile, []string{std + "glob.py _iterdir", std + "glob.py glob"}, of("getdents64", "/srv"), toThread},
	{"os.walk", model.CauseFile, []string{std + "os.py walk"}, of("getdents64", "/srv"), toThread},
	{"tempfile", model.CauseFile, []string{std + "tempfile.py mkdtemp"}, of("mkdir", "/tmp/x"), toThread},
	{"fcntl.flock", model.CauseFile, nil, of("flock", "/srv/lock"), "lock on the file"},
	{"fcntl.lockf", model.CauseFile, nil, of("fcntl", "/srv/lock"), "lock on the file"},
	{"sqlite3", model.CauseFile, []string{std + "sqlite3/dbapi2.py f"}, of("fdatasync", "/srv/db"), "aiosqlite"},
	{"input", model.CausePipe, nil, of("read", "tty /dev/pts/0"), "terminal"},
	{"print to a full pipe", model.CausePipe, nil, of("write", "pipe"), "write in a thread"},
	{"logging to a full pipe", model.CausePipe, []string{std + "logging/__init__.py StreamHandler.flush", std + "logging/__init__.py Logger.info"}, of("write", "pipe"), "QueueHandler"},
	{"logging to a slow disk", model.CauseFile, []string{std + "logging/__init__.py StreamHandler.flush", std + "logging/__init__.py Logger.info"}, of("write", "/srv/log"), "QueueHandler"},
	{"the handler's lock", model.CauseLock, []string{std + "logging/__init__.py Handler.acquire", std + "logging/__init__.py Logger.info"}, of("futex", ""), "QueueHandler"},

	// Threads.
	{"Lock.acquire", model.CauseLock, nil, of("futex", ""), "asyncio.Lock"},
	{"Event.wait", model.CauseLock, acquire(std + "threading.py Event.wait"), of("futex", ""), "asyncio.Event"},
	{"Condition.wait_for", model.CauseLock, acquire(std + "threading.py Condition.wait_for"), of("futex", ""), "call_soon_threadsafe"},
	{"queue.Queue.get", model.CauseLock, acquire(std + "queue.py Queue.get"), of("futex", ""), "asyncio.Queue"},
	{"Thread.join", model.CauseLock, []string{std + "threading.py Thread._wait_for_tstate_lock", std + "threading.py Thread.join"}, of("futex", ""), "joining a thread"},
	{"Future.result", model.CauseLock, acquire(std + "concurrent/futures/_base.py Future.result"), of("futex", ""), "wrap_future"},
	{"concurrent.futures.wait", model.CauseLock, acquire(std+"threading.py Event.wait", std+"concurrent/futures/_base.py wait"), of("futex", ""), "wrap_future"},
	{"Executor.map", model.CauseLock, acquire(std+"concurrent/futures/_base.py Future.result", std+"concurrent/futures/_base.py Executor.map.<locals>.result_iterator"), of("futex", ""), "wrap_future"},
	{"leaving a with block of an executor", model.CauseLock, []string{std + "threading.py Thread.join", std + "concurrent/futures/thread.py ThreadPoolExecutor.shutdown", std + "concurrent/futures/_base.py Executor.__exit__"}, of("futex", ""), "wait=False"},

	// Computing.
	{"json.dumps", model.CauseCPU, []string{std + "json/encoder.py JSONEncoder.iterencode", std + "json/__init__.py dumps"}, model.Detail{GIL: model.GILHeld}, "pieces"},
	{"pickle", model.CauseNative, nil, model.Detail{Native: "_pickle.cpython-311-x86_64-linux-gnu.so", GIL: model.GILHeld}, "pieces"},
	{"copy.deepcopy", model.CauseCPU, []string{std + "copy.py deepcopy"}, model.Detail{GIL: model.GILHeld}, "pieces"},
	{"pydantic", model.CauseNative, []string{site + "pydantic/main.py BaseModel.__init__"}, model.Detail{Native: "_pydantic_core.so", GIL: model.GILHeld}, "pieces"},
	{"re", model.CauseCPU, []string{std + "re/__init__.py search"}, model.Detail{GIL: model.GILHeld}, "pattern"},
	{"bcrypt", model.CauseNative, nil, model.Detail{Native: "_bcrypt.abi3.so", GIL: model.GILReleased}, toThread},
	{"hashlib.pbkdf2_hmac", model.CauseNative, nil, model.Detail{Native: "libcrypto.so.3", GIL: model.GILReleased}, toThread},
	{"gzip", model.CauseNative, []string{std + "gzip.py compress"}, model.Detail{Native: "libz.so.1", GIL: model.GILReleased}, toThread},
	{"PIL", model.CauseNative, []string{dist + "PIL/Image.py Image.resize"}, model.Detail{Native: "_imaging.so", GIL: model.GILReleased}, toThread},
	{"pandas", model.CauseNative, []string{dist + "pandas/core/frame.py sort_values"}, model.Detail{GIL: model.GILHeld}, "process pool"},
	{"ctypes without the GIL", model.CauseNative, nil, model.Detail{Native: "libslow.so", GIL: model.GILReleased}, toThread},
	{"ctypes with the GIL", model.CauseNative, nil, model.Detail{Native: "libslow.so", GIL: model.GILHeld}, "process pool"},
	{"a loop", model.CauseCPU, nil, model.Detail{GIL: model.GILHeld}, "process pool"},
	{"an SSL context", model.CauseCPU, []string{std + "ssl.py create_default_context"}, model.Detail{GIL: model.GILHeld}, "SSL context"},
	{"an import", model.CauseImport, []string{"<frozen importlib._bootstrap> _find_and_load"}, model.Detail{}, "when the program starts"},
	{"gc.collect", model.CauseGC, nil, model.Detail{}, "gc.freeze"},
	{"a finalizer", model.CauseSleep, nil, model.Detail{During: model.CauseGC}, "finalizer"},
}

// TestCalls holds the advice on the calls that people really block loops with against the right answer.
func TestCalls(t *testing.T) {
	for _, c := range calls {
		b := model.Blocker{Cause: c.cause, Stack: stack(c.stack...), Detail: c.detail}
		for _, kind := range []string{"asyncio", "uvloop", "tornado"} {
			assert.Contains(t, For(&b, kind), c.phrase, c.what)
		}
		for _, kind := range []string{"trio", "twisted", "gevent", "eventlet", "curio"} {
			got := For(&b, kind)
			assert.NotContains(t, got, "{thread}", c.what)
			assert.NotContains(t, got, "asyncio.to_thread", c.what)
		}
	}
}

// TestNoLine: without a line of the application, what called the loop is no evidence of what the callback did.
func TestNoLine(t *testing.T) {
	loop := []model.Frame{
		{Function: "Handle._run", File: std + "asyncio/events.py"}, {Function: "BaseEventLoop._run_once", File: std + "asyncio/base_events.py"},
		{Function: "main", File: dist + "redis/worker.py"}, {Function: "_bootstrap", File: std + "threading.py"},
	}
	b := model.Blocker{Cause: model.CauseSleep, Stack: loop}
	assert.Contains(t, For(&b, "asyncio"), "asyncio.sleep", "call_soon(time.sleep, 1)")
	b = model.Blocker{Cause: model.CauseNet, Stack: append([]model.Frame{{Function: "recv", File: site + "thing/client.py"}}, loop...)}
	assert.NotContains(t, For(&b, "asyncio"), "redis")
}
