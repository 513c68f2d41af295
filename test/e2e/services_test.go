// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// services starts the databases that the programs block on and returns the environment that
// tells programs where they are.
func services(t testing.TB) []string {
	return append(startPostgres(t), startRedis(t)...)
}

// startPostgres makes a cluster of its own, beside whatever runs on the machine.
func startPostgres(t testing.TB) []string {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	require.NoError(t, err)
	require.NotEmpty(t, bins, "PostgreSQL is not installed: make test installs it")
	bin := slices.Max(bins)
	dir, credential := dirOf(t, "postgres")
	port := freePort(t)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "truth", "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "%s", out)

	start(t, dir, credential, syscall.SIGQUIT, filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+dir, "-c", "fsync=off")
	await(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return []string{fmt.Sprintf("TRUTH_POSTGRES_PORT=%d", port), "TRUTH_POSTGRES_DIR=" + dir}
}

func startRedis(t testing.TB) []string {
	t.Helper()
	dir, credential := dirOf(t, "nobody")
	port, socket := freePort(t), filepath.Join(dir, "redis.sock")
	start(t, dir, credential, syscall.SIGTERM, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--unixsocket", socket, "--unixsocketperm", "777", "--save", "", "--dir", dir, "--enable-debug-command", "yes")
	await(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	await(t, "unix", socket)
	return []string{fmt.Sprintf("TRUTH_REDIS_PORT=%d", port), "TRUTH_REDIS_SOCKET=" + socket}
}

// dirOf makes a directory that belongs to a user: neither server runs as root. Its path is
// short, as that of a Unix socket has to be.
func dirOf(t testing.TB, name string) (string, *syscall.Credential) {
	t.Helper()
	account, err := user.Lookup(name)
	require.NoError(t, err)
	uid, err := strconv.Atoi(account.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(account.Gid)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("/tmp", "loopwatch-"+name+"-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chown(dir, uid, gid))
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// start runs a server until the test ends.
func start(t testing.TB, dir string, credential *syscall.Credential, end syscall.Signal, name string, args ...string) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(end)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", name, output.Bytes())
		}
	})
}

// await waits until a server answers.
func await(t testing.TB, network, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := net.Dial(network, address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, patience, 50*time.Millisecond, "%s %s does not answer", network, address)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// diskBytesASecond is what a slow disk reads or writes, as kinds_files.py has it.
const diskBytesASecond = 400000

// slowDisk mounts a file system on a disk that is slow for the processes of a cgroup, and
// returns where.
func slowDisk(t testing.TB, g *group) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "loopwatch-disk-")
	require.NoError(t, err)
	image, where := filepath.Join(dir, "image"), filepath.Join(dir, "slow")
	require.NoError(t, os.Mkdir(where, 0o755))
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 64<<20))
	command(t, "mkfs.ext4", "-q", "-F", image)
	command(t, "mount", "-o", "loop,noatime", image, where)
	t.Cleanup(func() {
		_ = exec.Command("fsfreeze", "--unfreeze", where).Run() // a program may have ended in between
		command(t, "umount", where)
		_ = os.RemoveAll(dir)
	})
	var stat unix.Stat_t
	require.NoError(t, unix.Stat(where, &stat))
	device := fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	if g.unified {
		g.set(t, "io.max", fmt.Sprintf("%s rbps=%d wbps=%d", device, diskBytesASecond, diskBytesASecond))
	} else {
		g.set(t, "blkio.throttle.read_bps_device", fmt.Sprintf("%s %d", device, diskBytesASecond))
		g.set(t, "blkio.throttle.write_bps_device", fmt.Sprintf("%s %d", device, diskBytesASecond))
	}
	return where
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}

// group is a cgroup made for a test, in whichever version has the controller.
type group struct {
	dir     string
	unified bool
}

// newGroup makes a cgroup with a controller, by the names of version 1 ("cpu", "blkio", "memory").
func newGroup(t testing.TB, controller string) *group {
	t.Helper()
	const unified = "/sys/fs/cgroup"
	g := &group{}
	parent := filepath.Join(unified, controller)
	if controllers, err := os.ReadFile(unified + "/cgroup.controllers"); err == nil {
		name := map[string]string{"cpu": "cpu", "blkio": "io", "memory": "memory"}[controller]
		require.Contains(t, strings.Fields(string(controllers)), name, "cgroup v2 has no controller %s here", name)
		require.NoError(t, os.WriteFile(unified+"/cgroup.subtree_control", []byte("+"+name), 0), "enable %s for cgroups", name)
		g.unified, parent = true, unified
	}
	var err error
	g.dir, err = os.MkdirTemp(parent, "loopwatch-test-")
	require.NoError(t, err)
	t.Cleanup(func() {
		// Its processes are there until they have been waited for.
		require.Eventually(t, func() bool { return os.Remove(g.dir) == nil }, patience, 20*time.Millisecond, "remove %s", g.dir)
	})
	return g
}

func (g *group) set(t testing.TB, file, value string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0), "%s: %s", file, value)
}

// add puts a process into the group.
func (g *group) add(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}
