// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asReader names the variable that makes this test binary print its clocks and wait for the end of its stdin.
const asReader = "LOOPWATCH_TEST_PRINT_CLOCK"

func TestMain(m *testing.M) {
	if os.Getenv(asReader) != "" {
		fmt.Println(Monotonic(), ownOffset())
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestParseOffset(t *testing.T) {
	offset, err := parseOffset([]byte("monotonic     1000000         5\nboottime          500         0\n"))
	assert.NoError(t, err)
	assert.EqualValues(t, 1_000_000_000_000_005, offset)
	offset, err = parseOffset([]byte("boottime 1 0\nmonotonic -2 999999999\n"))
	assert.NoError(t, err)
	assert.EqualValues(t, -1_000_000_001, offset)
	for _, bad := range []string{"", "boottime 1 0\n", "monotonic 1\n", "monotonic x 0\n", "monotonic 1 -1\n", "monotonic 1 1000000000\n",
		"monotonic 9223372036854775807 0\n", "monotonic -9223372036854775808 0\n"} {
		_, err := parseOffset([]byte(bad))
		assert.Error(t, err, bad)
	}
}

// TestTimeNamespace reads the clock in time namespaces ahead of this one and behind it.
func TestTimeNamespace(t *testing.T) {
	if _, err := os.Stat("/proc/self/ns/time"); err != nil {
		t.Skip("no time namespaces before Linux 5.6")
	}
	if os.Geteuid() != 0 {
		t.Skip("takes root")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	offset, err := Offset("/proc/self")
	require.NoError(t, err)
	assert.Zero(t, offset)
	for _, seconds := range []int64{1_000_000, -int64(Monotonic()/int64(time.Second)) + 1} {
		cmd := exec.Command("unshare", "--time", "--fork", "--monotonic", strconv.FormatInt(seconds, 10), "sh", "-c", "echo $$; exec "+self)
		cmd.Env = append(os.Environ(), asReader+"=1")
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		before := Monotonic()
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(stdout)
		require.True(t, lines.Scan())
		pid := lines.Text()
		require.True(t, lines.Scan())
		var read, own int64
		_, err = fmt.Sscan(lines.Text(), &read, &own)
		require.NoError(t, err)
		assert.Equal(t, seconds*int64(time.Second), own)
		assert.GreaterOrEqual(t, read, before, "the host's clock")
		assert.LessOrEqual(t, read, Monotonic())

		offset, err := Offset("/proc/" + pid)
		assert.NoError(t, err)
		assert.Equal(t, own, offset, "as seen from outside")
		offset, err = Offset("/proc/" + strconv.Itoa(cmd.Process.Pid))
		assert.NoError(t, err)
		assert.Zero(t, offset, "unshare itself is not in the namespace that it made")
		require.NoError(t, stdin.Close())
		require.NoError(t, cmd.Wait())
	}
	_, err = Offset("/proc/" + strings.Repeat("9", 9))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzOffset(f *testing.F) {
	f.Add([]byte("monotonic           0         0\nboottime            0         0\n"))
	f.Add([]byte("monotonic -86400 999999999\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ns, err := parseOffset(b); err == nil && (ns > 1<<63-1-1e9 || ns < -(1<<63-1)+1e9) {
			t.Fatalf("%q: %d", b, ns)
		}
	})
}
