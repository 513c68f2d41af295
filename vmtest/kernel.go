// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/loopwatch/loopwatch/test/debian"
)

// Kernel is an unpacked kernel of the cache.
type Kernel struct {
	Release string // as uname -r says
	Image   string // path of the bootable image
	Modules string // directory that holds its modules, at any depth
}

// Parts of a kernel that packages are split into. Which of them hold what depends on the
// release: since 7.x linux-image-* is empty and depends on the others.
var kernelPart = regexp.MustCompile(`^linux-(image|binary|modules)-`)

// Kernel returns the kernel of a row: the newest of its suite at the time it was first asked
// for. Remove it from the cache to have a newer one.
func (c *Cache) Kernel(ctx context.Context, row Row) (*Kernel, error) {
	key := "kernel-" + row.Suite + "-" + row.Package
	dir, err := c.entry(ctx, key, func(dir string) error { return fetchKernel(ctx, dir, row) })
	if err != nil {
		return nil, fmt.Errorf("fetch kernel %s: %w", row.Name, err)
	}
	return findKernel(dir)
}

// kernelBytes is what an unpacked kernel takes, and its packages beside it.
const kernelBytes = 1 << 30

func fetchKernel(ctx context.Context, dir string, row Row) error {
	if err := debian.Room(filepath.Dir(dir), kernelBytes); err != nil {
		return err
	}
	// Beside the entry, not in it: the packages a failed attempt has got need not be fetched again.
	downloads := filepath.Join(filepath.Dir(dir), "downloads-"+row.Suite)
	a, err := newApt(ctx, filepath.Join(downloads, "apt"), row.Suite)
	if err != nil {
		return err
	}
	names, err := kernelPackages(ctx, a, row.Package)
	if err != nil {
		return err
	}
	debs := filepath.Join(downloads, "debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if err := a.download(ctx, debs, name); err != nil {
			return err
		}
	}
	found, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	if len(found) != len(names) { // an earlier attempt was for another version
		return errors.Join(fmt.Errorf("%d packages in %s, not %d: they are removed, run it again", len(found), debs, len(names)), os.RemoveAll(debs))
	}
	for _, deb := range found {
		if _, err := output(ctx, "", "dpkg-deb", "-x", deb, filepath.Join(dir, "tree")); err != nil {
			return err
		}
	}
	if _, err := findKernel(dir); err != nil {
		return err
	}
	return os.RemoveAll(downloads)
}

// kernelPackages follows the dependencies of a package through the parts of a kernel.
func kernelPackages(ctx context.Context, a *apt, first string) ([]string, error) {
	names := []string{first}
	seen := map[string]bool{first: true}
	for i := 0; i < len(names); i++ {
		depends, err := a.depends(ctx, names[i])
		if err != nil {
			return nil, err
		}
		for _, d := range depends {
			if kernelPart.MatchString(d) && !seen[d] {
				seen[d] = true
				names = append(names, d)
			}
		}
	}
	return names, nil
}

func findKernel(dir string) (*Kernel, error) {
	for _, pattern := range []string{"tree/boot/vmlinuz-*", "tree/usr/lib/modules/*/vmlinuz*"} {
		images, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		if len(images) == 0 {
			continue
		}
		release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
		if !strings.HasPrefix(pattern, "tree/boot") {
			release = filepath.Base(filepath.Dir(images[0]))
		}
		for _, lib := range []string{"lib", "usr/lib"} {
			modules := filepath.Join(dir, "tree", lib, "modules", release)
			if _, err := os.Stat(modules); err == nil {
				return &Kernel{Release: release, Image: images[0], Modules: modules}, nil
			}
		}
	}
	return nil, fmt.Errorf("no kernel image with modules in %s", dir)
}
