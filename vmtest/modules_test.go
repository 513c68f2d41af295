// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compileModule makes an object with the section modprobe reads, as the kernel's build does.
func compileModule(t *testing.T, path, depends string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	source := fmt.Sprintf(`const char info[] __attribute__((section(".modinfo"))) = "license=GPL\0depends=%s\0name=x";`, depends)
	file := filepath.Join(t.TempDir(), "m.c")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	out, err := exec.Command("gcc", "-c", "-o", path, file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestLoadOrder(t *testing.T) {
	dir := t.TempDir()
	compileModule(t, filepath.Join(dir, "kernel/block/virtio_blk.ko"), "virtio,virtio-ring")
	compileModule(t, filepath.Join(dir, "kernel/virtio/virtio-ring.ko"), "virtio")
	compileModule(t, filepath.Join(dir, "kernel/virtio/virtio.ko"), "")
	compileModule(t, filepath.Join(dir, "kernel/net/unused.ko"), "virtio")
	out, err := exec.Command("xz", filepath.Join(dir, "kernel/virtio/virtio.ko")).CombinedOutput()
	require.NoError(t, err, "%s", out)

	modules, err := loadOrder(t.Context(), dir, "virtio_blk", "virtio_ring", "ext4")
	require.NoError(t, err)
	var names []string
	for _, m := range modules {
		names = append(names, m.name)
		assert.Equal(t, "\x7fELF", string(m.content[:4]), m.name)
	}
	assert.Equal(t, []string{"virtio", "virtio_ring", "virtio_blk"}, names, "each after what it needs; ext4 is built in")
}
