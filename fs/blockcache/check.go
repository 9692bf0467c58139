package blockcache

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Checked is what [Cache.Check] found.
type Checked struct {
	Files   int
	Bytes   int64 // that were present
	Damaged int64 // bytes that were dropped
}

// Check reads all that is cached of a drive and drops what is damaged. Files that are in use are checked too.
func (c *Cache) Check(ctx context.Context, drive string) (Checked, error) {
	var sum Checked
	for _, id := range c.idsOf(drive) {
		k, size, ok := readHead(c.mapPath(id))
		if !ok || idOf(k) != id {
			continue // removed meanwhile; or damaged, and found out when it is opened
		}
		one, err := c.checkFile(ctx, k, size)
		if err != nil {
			return sum, err
		}
		sum.Files++
		sum.Bytes += one.Bytes
		sum.Damaged += one.Damaged
	}
	return sum, nil
}

func (c *Cache) checkFile(ctx context.Context, k Key, size int64) (Checked, error) {
	f, err := c.Open(k, size)
	if err != nil {
		return Checked{}, err
	}
	f.data.distrust()
	before := f.present()
	if err := f.Verify(ctx); err != nil {
		_ = f.Close() // the error before says why
		return Checked{}, err
	}
	return Checked{Files: 1, Bytes: before, Damaged: before - f.present()}, fs.Wrap("check cache", k.Name, f.Close())
}

// present returns how many bytes are there.
func (f *File) present() int64 {
	n := f.data.size
	for _, r := range f.Missing(0, f.data.size) {
		n -= r.Len
	}
	return n
}

// distrust makes all units be checked again before they are served, but in a file of which a descriptor was handed out: its readers
// do not ask us.
func (c *contents) distrust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinned {
		return
	}
	c.state.Lock()
	defer c.state.Unlock()
	for _, ch := range c.chunks {
		for i := range ch.units {
			if ch.units[i].state == present {
				ch.units[i].state = unchecked
			}
		}
	}
}

// idsOf returns the ids of a drive's entries.
func (c *Cache) idsOf(drive string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	prefix := driveDir(drive) + "/"
	var ids []string
	for id := range c.entries {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	return ids
}

// KeepOnly forgets everything of drives that are not named, and returns how many bytes that freed.
func (c *Cache) KeepOnly(drives []string) int64 {
	known := make(map[string]bool, len(drives))
	for _, d := range drives {
		known[driveDir(d)] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.used
	for id, e := range c.entries {
		if dir, _, _ := strings.Cut(id, "/"); !known[dir] && e.refs == 0 {
			c.drop(e)
		}
	}
	return before - c.used
}

// readHead reads what a map says it is of.
func readHead(path string) (k Key, size int64, ok bool) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return k, 0, false
	}
	defer f.Close()
	b := make([]byte, headSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return k, 0, false
	}
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	var parts [3]string
	for i := range parts {
		if !ok || len(rest) < 4 {
			return k, 0, false
		}
		n := int(binary.LittleEndian.Uint32(rest))
		if rest = rest[4:]; n > len(rest) {
			return k, 0, false
		}
		parts[i], rest = string(rest[:n]), rest[n:]
	}
	if len(rest) < 8 {
		return k, 0, false
	}
	size = int64(binary.LittleEndian.Uint64(rest))
	return Key{Drive: parts[0], Name: parts[1], Version: fs.Version(parts[2])}, size, size >= 0
}
