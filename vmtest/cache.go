// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	unfinished := path + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := fill(unfinished); err != nil {
		return "", errors.Join(err, os.RemoveAll(unfinished))
	}
	return path, os.Rename(unfinished, path)
}

// dropOthers removes the entries that match a pattern, but for the one to keep: what they were made
// of is no more.
func (c *Cache) dropOthers(keep, pattern string) error {
	old, err := filepath.Glob(filepath.Join(c.dir, "vm", pattern))
	for _, path := range old {
		if path != keep {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// digest tells versions of a file apart.
func digest(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6]), nil
}
