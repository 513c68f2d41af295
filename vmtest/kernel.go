// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// Kernel returns the newest kernel its suite has for a row. Where the suite's index cannot be read,
// one of the cache will do, and progress says so.
func (c *Cache) Kernel(ctx context.Context, row Row, progress io.Writer) (*Kernel, error) {
	kernel, err := c.newestKernel(ctx, row, progress)
	if err != nil {
		return nil, fmt.Errorf("fetch kernel %s: %w", row.Name, err)
	}
	return kernel, nil
}

func (c *Cache) newestKernel(ctx context.Context, row Row, progress io.Writer) (*Kernel, error) {
	prefix := "kernel-" + row.Suite + "-" + row.Package + "-"
	a, version, err := c.lookUp(ctx, row)
	if err != nil {
		old, _ := filepath.Glob(filepath.Join(c.dir, "vm", prefix+"*"))
		old = slices.DeleteFunc(old, func(path string) bool { return strings.HasSuffix(path, unfinished) })
		if len(old) == 0 || ctx.Err() != nil {
			return nil, err
		}
		fmt.Fprintf(progress, "==> %s: whether there is a newer kernel is not known: %v\n", row.Name, err)
		return findKernel(old[0])
	}
	dir, err := c.entry(ctx, prefix+strings.ReplaceAll(version, ":", "_"), func(dir string) error {
		fmt.Fprintf(progress, "==> %s: fetching kernel %s of %s\n", row.Name, version, row.Suite)
		return c.fetchKernel(ctx, a, dir, row)
	})
	if err != nil {
		return nil, err
	}
	kernel, err := findKernel(dir)
	return kernel, errors.Join(err, c.dropOthers(dir, prefix+"*"))
}

// lookUp asks the suite's index for the version of the package that depends on its newest kernel.
func (c *Cache) lookUp(ctx context.Context, row Row) (*apt, string, error) {
	dir := filepath.Join(c.dir, "vm", "apt-"+row.Suite+"-"+row.Arch)
	unlock, err := debian.Lock(ctx, dir+".lock")
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	a, err := newApt(ctx, dir, row.Suite, row.Arch)
	if err != nil {
		return nil, "", err
	}
	if err := a.update(ctx); err != nil {
		return nil, "", err
	}
	version, err := a.version(ctx, row.Package)
	return a, version, err
}

// kernelBytes is what an unpacked kernel takes, and its packages beside it.
const kernelBytes = 1 << 30

func (c *Cache) fetchKernel(ctx context.Context, a *apt, dir string, row Row) error {
	if err := debian.Room(filepath.Dir(dir), kernelBytes); err != nil {
		return err
	}
	names, err := kernelPackages(ctx, a, row.Package)
	if err != nil {
		return err
	}
	// Beside the entry, not in it: the packages a failed attempt has got need not be fetched again.
	debs := filepath.Join(c.dir, "vm", "debs-"+row.Suite+"-"+row.Arch)
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
	if err := os.Mkdir(dir, 0o755); err != nil { // dpkg-deb makes no more than the last part of a path
		return err
	}
	for _, deb := range found {
		if _, err := output(ctx, "", "dpkg-deb", "-x", deb, filepath.Join(dir, "tree")); err != nil {
			return err
		}
	}
	if _, err := findKernel(dir); err != nil {
		return err
	}
	return os.RemoveAll(debs)
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
