// SPDX-License-Identifier: Apache-2.0

// Package kernelstack tells from a kernel stack what a thread that sleeps in the kernel waits for:
// a disk, a pipe, a socket, a child. It takes return addresses and the kernel's own list of
// symbols, of which it keeps only those that decide.
package kernelstack

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Place is where in the kernel a thread waits.
type Place string

const (
	Elsewhere Place = ""
	Disk      Place = "disk" // a block device or a file system
	Pipe      Place = "pipe" // a pipe or terminal
	Network   Place = "network"
	Child     Place = "child" // fork and exec
)

// functions decide by their name, prefixes by the beginning of it. The innermost one on the stack
// that is in either wins, so what everything calls (schedule, mutex_lock) must not be here.
var functions = map[string]Place{
	"io_schedule": Disk, "io_schedule_timeout": Disk, "blk_io_schedule": Disk, "submit_bio_wait": Disk, "__wait_on_buffer": Disk,
	"folio_wait_bit_common": Disk, "wait_on_page_bit_common": Disk, "__lock_page": Disk, "__lock_page_killable": Disk,
	"__lock_page_or_retry": Disk, "filemap_fault": Disk, "do_swap_page": Disk, "swap_readpage": Disk, "swap_read_folio": Disk,
	"balance_dirty_pages": Disk, "balance_dirty_pages_ratelimited": Disk, "wait_on_page_writeback": Disk,
	"wb_wait_for_completion": Disk, "sync_inodes_sb": Disk, "lookup_slow": Disk, "iterate_dir": Disk, "do_unlinkat": Disk,
	"do_renameat2": Disk, "lock_rename": Disk, "path_openat": Disk, "rq_qos_wait": Disk, "blk_mq_get_tag": Disk,
	"request_wait_answer": Disk, "rpc_wait_bit_killable": Disk, "generic_file_write_iter": Disk,

	"pipe_write": Pipe, "pipe_read": Pipe, "anon_pipe_write": Pipe, "anon_pipe_read": Pipe, "fifo_open": Pipe,
	"n_tty_read": Pipe, "n_tty_write": Pipe, "tty_release": Pipe, "tty_write": Pipe,

	"inet_release": Network, "__tcp_close": Network, "tcp_close": Network, "sk_stream_wait_close": Network, "lock_sock_nested": Network,
	"__lock_sock": Network, "unix_release_sock": Network, "rtnl_lock": Network,

	"wait_for_vfork_done": Child, "begin_new_exec": Child, "de_thread": Child,
}

var prefixes = map[string]Place{
	"ext4_": Disk, "jbd2_": Disk, "xfs_": Disk, "xlog_": Disk, "btrfs_": Disk, "f2fs_": Disk, "nfs_": Disk, "nfs4_": Disk, "nfs3_": Disk,
	"cifs_": Disk, "smb2_": Disk, "ceph_": Disk, "fuse_": Disk, "ovl_": Disk, "zfs_": Disk, "zil_": Disk, "bcachefs_": Disk,
	"squashfs_": Disk, "erofs_": Disk, "blkdev_": Disk, "dm_": Disk, "md_": Disk, "p9_client_": Disk, "v9fs_": Disk, "virtio_fs_": Disk,
}

// symbol is one function of the kernel that decides.
type symbol struct {
	start, end uint64
	place      Place
}

// Symbols are the kernel's symbols, read when they are first asked for: it takes a tenth of a second. They are safe for
// concurrent use.
type Symbols struct{ load func() []symbol }

// New returns the symbols of this kernel.
func New() *Symbols { return &Symbols{sync.OnceValue(load)} }

// Where returns what the innermost function that decides waits for. Elsewhere where none does, or
// the kernel's symbols cannot be read.
func (s *Symbols) Where(stack []uint64) Place {
	table := s.load()
	for _, ip := range stack {
		// A return address may be the first of the next function.
		if place := find(table, ip-1); place != Elsewhere {
			return place
		}
	}
	return Elsewhere
}

// Readable reports whether this process is told the kernel's symbols.
func (s *Symbols) Readable() bool { return len(s.load()) > 0 }

func load() []symbol {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil
	}
	defer f.Close()
	return parse(f)
}

func find(table []symbol, ip uint64) Place {
	i, found := slices.BinarySearchFunc(table, ip, func(s symbol, ip uint64) int { return cmp.Compare(s.start, ip) })
	if !found {
		i--
	}
	if i < 0 || ip >= table[i].end {
		return Elsewhere
	}
	return table[i].place
}

// parse reads lines of "address type name [module]". A function ends where the next one begins.
func parse(r io.Reader) []symbol {
	var starts []uint64
	var out []symbol
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		address, rest, _ := bytes.Cut(lines.Bytes(), []byte{' '})
		kind, name, ok := bytes.Cut(rest, []byte{' '})
		if !ok || len(kind) != 1 || !strings.Contains("tTwW", string(kind)) {
			continue
		}
		at, err := strconv.ParseUint(string(address), 16, 64)
		if err != nil || at == 0 { // 0: hidden from us
			continue
		}
		starts = append(starts, at)
		name, _, _ = bytes.Cut(name, []byte{'\t'})
		if place := placeOf(string(name)); place != Elsewhere {
			out = append(out, symbol{start: at, place: place})
		}
	}
	slices.Sort(starts)
	slices.SortFunc(out, func(a, b symbol) int { return cmp.Compare(a.start, b.start) })
	for i := range out {
		next, _ := slices.BinarySearch(starts, out[i].start+1)
		if out[i].end = out[i].start + 1<<16; next < len(starts) {
			out[i].end = starts[next]
		}
	}
	return out
}

// placeOf goes by a function's name, without what the compiler has put behind it (".isra.0").
func placeOf(name string) Place {
	name, _, _ = strings.Cut(name, ".")
	if place, ok := functions[name]; ok {
		return place
	}
	if n := strings.IndexByte(name, '_'); n > 0 {
		for _, end := range []int{n + 1, n + 1 + strings.IndexByte(name[n+1:], '_') + 1} {
			if place, ok := prefixes[name[:end]]; ok {
				return place
			}
		}
	}
	return Elsewhere
}
