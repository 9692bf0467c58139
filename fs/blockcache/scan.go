package blockcache

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	versionFile = "VERSION"
	versionText = "1\n"
)

// prepare makes the directory, and empties it if it is of another format.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, versionFile)
	if b, err := os.ReadFile(path); err == nil && string(b) == versionText {
		return os.MkdirAll(filepath.Join(dir, contentsDir), 0o700)
	}
	return errors.Join(
		os.RemoveAll(filepath.Join(dir, contentsDir)),
		os.MkdirAll(filepath.Join(dir, contentsDir), 0o700),
		os.WriteFile(path, []byte(versionText), 0o600))
}

// found is an entry that was on the disk.
type found struct {
	id    string
	bytes int64
	used  time.Time
	pair  int // how many of its two files there are
}

// scan learns what the directory holds. Files without their counterpart are removed.
func (c *Cache) scan() {
	all := make(map[string]*found)
	root := filepath.Join(c.dir, contentsDir)
	for _, drive := range c.list(root) {
		for _, part := range c.list(filepath.Join(root, drive)) {
			c.scanFolder(all, drive+"/"+part)
		}
	}
	order := make([]*found, 0, len(all))
	for _, f := range all {
		if f.pair == 2 {
			order = append(order, f)
		} else {
			c.unlink(f.id)
		}
	}
	slices.SortFunc(order, func(a, b *found) int { return a.used.Compare(b.used) })
	for _, f := range order {
		e := &entry{id: f.id, bytes: f.bytes, uses: 1}
		c.entries[f.id] = e
		c.used += f.bytes
		c.enlist(e)
	}
}

func (c *Cache) list(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.opts.Logger.Warn("cannot list the cache", "dir", dir, "error", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func (c *Cache) scanFolder(all map[string]*found, folder string) {
	dir := filepath.Join(c.dir, contentsDir, folder)
	for _, name := range c.list(dir) {
		path := filepath.Join(dir, name)
		stem, isMap := strings.CutSuffix(name, mapSuffix)
		isData := false
		if !isMap {
			stem, isData = strings.CutSuffix(name, dataSuffix)
		}
		info, err := os.Lstat(path)
		if err != nil || (!isMap && !isData) || !info.Mode().IsRegular() {
			if err := os.RemoveAll(path); err != nil {
				c.opts.Logger.Warn("cannot remove what is not the cache's", "file", path, "error", err)
			}
			continue
		}
		id := folder + "/" + stem
		f := all[id]
		if f == nil {
			f = &found{id: id}
			all[id] = f
		}
		f.pair++
		f.bytes += blocks(info)
		if isMap {
			f.used = info.ModTime()
		}
	}
}

// blocks returns what a file takes on the disk.
func blocks(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
