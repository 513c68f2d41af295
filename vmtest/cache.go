// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/loopwatch/loopwatch/test/debian"
)

// Cache keeps kernels and disk images outside the tree. Entries are made under another name
// and renamed when complete, so a half-made one is never reused.
type Cache struct{ dir string }

// OpenCache returns the cache, which the Debian trees are kept in, too.
func OpenCache() (*Cache, error) {
	dir := debian.Cache()
	if err := os.MkdirAll(filepath.Join(dir, "vm"), 0o755); err != nil {
		return nil, fmt.Errorf("make cache (set LOOPWATCH_CACHE to a place that can be written): %w", err)
	}
	return &Cache{dir: dir}, nil
}

// unfinished is what the name of an entry ends in while it is made.
const unfinished = ".unfinished"

// entry returns the path of an entry, calling fill to make it if it is not there. One process
// fills at a time; the others wait for it.
func (c *Cache) entry(ctx context.Context, name string, fill func(path string) error) (string, error) {
	path := filepath.Join(c.dir, "vm", name)
	unlock, err := debian.Lock(ctx, filepath.Join(c.dir, "vm", ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	partial := path + unfinished
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := fill(partial); err != nil {
		return "", errors.Join(err, os.RemoveAll(partial))
	}
	return path, os.Rename(partial, path)
}

// dropOthers removes the entries that match a pattern, but for the one to keep: what they were made
// of is no more.
func (c *Cache) dropOthers(keep, pattern string) error {
	old, err := filepath.Glob(filepath.Join(c.dir, "vm", pattern))
	for _, path := range old {
		if path != keep {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}
