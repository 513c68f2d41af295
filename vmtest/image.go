// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/loopwatch/loopwatch/test/debian"
)

// freeBytes is what a guest may write beyond what the root holds.
const freeBytes = 512 << 20

// nvdimmAlign is what the size of the memory a guest finds its root in is a multiple of.
const nvdimmAlign = 128 << 20

// Image returns an ext4 image of a Debian root. It is made without mounting anything, so it
// needs no loop device; the guest sees a copy on write.
func (c *Cache) Image(ctx context.Context, root string, progress io.Writer) (string, error) {
	if err := debian.Make(ctx, progress, root); err != nil {
		return "", err
	}
	dir := debian.Tree(root)
	version, err := debian.Version(root)
	if err != nil {
		return "", err
	}
	path, err := c.entry(ctx, fmt.Sprintf("root-%s.%s.img", root, version), func(path string) error {
		size, err := treeBytes(dir)
		if err != nil {
			return err
		}
		size = (size*5/4 + freeBytes + nvdimmAlign - 1) &^ (nvdimmAlign - 1)
		// The file has holes where the image is empty.
		if err := debian.Room(filepath.Dir(path), size-freeBytes); err != nil {
			return err
		}
		_, err = output(ctx, "", "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum_seed,^orphan_file",
			"-d", dir, path, fmt.Sprintf("%dk", size>>10))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make disk image of %s: %w", root, err)
	}
	return path, c.dropOthers(path, "root-"+root+".*.img")
}

// treeBytes is the room the files of a tree take in blocks of 4 KiB.
func treeBytes(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil {
			sum += (info.Size() + 4095) &^ 4095
		}
		return err
	})
	return sum, err
}
