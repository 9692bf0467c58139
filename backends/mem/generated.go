package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// GeneratedOptions say which keys a Generated store has.
type GeneratedOptions struct {
	Dirs  int // directories d0000, d0001, …; 0 = 1000
	Files int // files in each, f000000.txt, f000001.txt, …; 0 = 1000
	Big   int // files in one more directory, "big"; 0 = 100,000
	Size  int // bytes of each file; 0 = 100
}

// Generated is a store of as many keys as one likes that takes no memory: names and contents are computed when they are asked for.
// It cannot be written to.
type Generated struct {
	o        GeneratedOptions
	stored   time.Time
	requests atomic.Int64
}

var _ fs.Backend = (*Generated)(nil)

// NewGenerated returns a store of one million files in a thousand directories and a hundred thousand in another, unless o says
// otherwise.
func NewGenerated(o GeneratedOptions) *Generated {
	def := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	def(&o.Dirs, 1000)
	def(&o.Files, 1000)
	def(&o.Big, 100_000)
	def(&o.Size, 100)
	return &Generated{o: o, stored: time.Unix(1_700_000_000, 0)}
}

// Caps returns what such a store could do if it took writes.
func (g *Generated) Caps() fs.Caps { return storeCaps() }

// Close does nothing.
func (g *Generated) Close() error { return nil }

// Requests returns how many requests were made.
func (g *Generated) Requests() int64 { return g.requests.Load() }

// files returns how many files the directory has, false if there is no such directory.
func (g *Generated) files(dir string) (int, bool) {
	if dir == "big" {
		return g.o.Big, true
	}
	n, ok := number(dir, "d", 4, "")
	return g.o.Files, ok && n < g.o.Dirs
}

// number reads a name of the form prefix, digits, suffix.
func number(name, prefix string, digits int, suffix string) (int, bool) {
	name, hasPrefix := strings.CutPrefix(name, prefix)
	name, hasSuffix := strings.CutSuffix(name, suffix)
	n, err := strconv.Atoi(name)
	return n, hasPrefix && hasSuffix && err == nil && n >= 0 && fmt.Sprintf("%0*d", digits, n) == name
}

func (g *Generated) file(key string) fs.Info {
	return fs.Info{
		Key: key, Type: fs.File, Size: int64(g.o.Size), ModTime: g.stored, Stored: g.stored,
		Version: fs.Version(strconv.Quote(key)), Partial: true,
	}
}

// Stat returns what there is at key.
func (g *Generated) Stat(ctx context.Context, key string) (fs.Info, error) {
	g.requests.Add(1)
	if err := ctx.Err(); err != nil {
		return fs.Info{}, fs.Wrap("stat", key, err)
	}
	dir, name, below := strings.Cut(key, "/")
	count, ok := g.files(dir)
	switch {
	case key == "":
		return fs.Info{Type: fs.Directory}, nil
	case ok && !below:
		return fs.Info{Key: key, Type: fs.Directory, Implicit: true}, nil
	}
	if n, is := number(name, "f", 6, ".txt"); !ok || !is || n >= count {
		return fs.Info{}, &fs.Error{Op: "stat", Path: key, Kind: fs.NotExist}
	}
	info := g.file(key)
	info.Partial = false
	return info, nil
}

// List returns a page; its token is the number of the first name.
func (g *Generated) List(ctx context.Context, dir string, o fs.ListOptions) (fs.Page, error) {
	g.requests.Add(1)
	if err := ctx.Err(); err != nil {
		return fs.Page{}, fs.Wrap("list", dir, err)
	}
	name := func(i int) fs.Info { return g.file(fmt.Sprintf("%s/f%06d.txt", dir, i)) }
	count, ok := g.files(dir)
	if dir == "" {
		count, ok = g.o.Dirs+1, true
		name = func(i int) fs.Info {
			if i == 0 {
				return fs.Info{Key: "big", Type: fs.Directory, Partial: true}
			}
			return fs.Info{Key: fmt.Sprintf("d%04d", i-1), Type: fs.Directory, Partial: true}
		}
	}
	if !ok {
		return fs.Page{}, &fs.Error{Op: "list", Path: dir, Kind: fs.NotExist}
	}
	from, _ := strconv.Atoi(o.Token) // "" is 0
	if o.Max <= 0 {
		o.Max = DefaultPage
	}
	var page fs.Page
	for i := from; i < min(from+o.Max, count); i++ {
		page.Infos = append(page.Infos, name(i))
	}
	if from+o.Max < count {
		page.Next = strconv.Itoa(from + o.Max)
	}
	return page, nil
}

// Read returns the contents of a file: its own key over and over.
func (g *Generated) Read(ctx context.Context, key string, o fs.ReadOptions) (fs.Reader, error) {
	info, err := g.Stat(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case info.Type == fs.Directory:
		return nil, &fs.Error{Op: "read", Path: key, Kind: fs.IsDir}
	case o.IfVersion != "" && o.IfVersion != info.Version, o.Version != "" && o.Version != info.Version:
		return nil, &fs.Error{Op: "read", Path: key, Kind: fs.Conflict}
	case o.Off > info.Size:
		return nil, &fs.Error{Op: "read", Path: key, Kind: fs.Range}
	}
	data := bytes.Repeat([]byte(key+"\n"), g.o.Size/len(key)+1)[o.Off:g.o.Size]
	if o.Len > 0 {
		data = data[:min(o.Len, int64(len(data)))]
	}
	return &reader{Reader: io.Reader(bytes.NewReader(data)), ctx: ctx, info: info}, nil
}

// Write fails with ReadOnly, as all that follows.
func (g *Generated) Write(_ context.Context, key string, _ fs.WriteOptions) (fs.Writer, error) {
	return nil, &fs.Error{Op: "put", Path: key, Kind: fs.ReadOnly}
}

// Remove fails with ReadOnly.
func (g *Generated) Remove(_ context.Context, key string, _ fs.RemoveOptions) error {
	return &fs.Error{Op: "remove", Path: key, Kind: fs.ReadOnly}
}

// Copy fails with ReadOnly.
func (g *Generated) Copy(_ context.Context, _, dst string, _ fs.CopyOptions) (fs.Info, error) {
	return fs.Info{}, &fs.Error{Op: "copy", Path: dst, Kind: fs.ReadOnly}
}
