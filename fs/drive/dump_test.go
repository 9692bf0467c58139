package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func listOf(ctx context.Context, d fs.Drive, path string) (string, error) {
	n, err := nodeAt(ctx, d, path)
	if err != nil {
		return "", err
	}
	x, ok := n.(fs.Dir)
	if !ok {
		return "", fail("list", path, fs.NotDir)
	}
	return listDir(ctx, x)
}

func listDir(ctx context.Context, x fs.Dir) (string, error) {
	entries, err := entriesOf(ctx, x)
	var names []string
	for _, e := range entries {
		size := e.Attr.Size
		if e.Attr.Type() == fs.Directory {
			size = 0
		}
		names = append(names, fmt.Sprintf("%s:%d:%d", e.Name, e.Attr.Type(), size))
	}
	slices.Sort(names) // the drive shows what the store tells first
	return strings.Join(names, " "), err
}

// entriesOf returns all that a directory has, in the order in which it tells it.
func entriesOf(ctx context.Context, x fs.Dir) (all []fs.Entry, err error) {
	l, err := x.List(ctx)
	if err != nil {
		return nil, err
	}
	for e, err := range fs.Entries(ctx, l) {
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		all = append(all, e)
	}
	return all, l.Close()
}

func textOf(ctx context.Context, d fs.Drive, path string) (string, error) {
	n, err := nodeAt(ctx, d, path)
	if err != nil {
		return "", err
	}
	if l, ok := n.(fs.Readlinker); ok {
		if to, err := l.Readlink(ctx); err == nil {
			return "-> " + to, nil
		}
	}
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil && fs.Errno(err) == syscall.ENXIO {
		return specialAt(ctx, d, path)
	}
	if err != nil && fs.Errno(err) == syscall.ELOOP {
		return linkAt(ctx, d, path)
	}
	if err != nil {
		return "", err
	}
	s, err := readAllOf(ctx, h)
	return s, errors.Join(err, h.Release(ctx))
}

// specialAt describes a special file, which was found out to be one by opening it.
func specialAt(ctx context.Context, d fs.Drive, path string) (string, error) {
	n, err := nodeAt(ctx, d, path)
	if err != nil {
		return "", err
	}
	a, err := n.Attr(ctx)
	if err == nil && a.Type() != fs.Other {
		err = fail("stat", path, fs.Invalid)
	}
	return fmt.Sprintf("special %o %x", a.Mode, a.Rdev), err
}

// linkAt is the same for a symbolic link.
func linkAt(ctx context.Context, d fs.Drive, path string) (string, error) {
	n, err := nodeAt(ctx, d, path)
	if err != nil {
		return "", err
	}
	l, ok := n.(fs.Readlinker)
	if !ok {
		return "", fail("readlink", path, fs.Invalid)
	}
	to, err := l.Readlink(ctx)
	return "-> " + to, err
}

// dump returns the whole tree as text.
func dump(ctx context.Context, d fs.Drive) (string, error) {
	var lines []string
	var walk func(x fs.Dir, path string) error
	walk = func(x fs.Dir, path string) error {
		entries, err := entriesOf(ctx, x)
		if err != nil {
			return err
		}
		for _, e := range entries {
			p := join(path, e.Name)
			n, err := x.Lookup(ctx, e.Name)
			if err != nil {
				return err
			}
			if sub, ok := n.(fs.Dir); ok {
				lines = append(lines, p+"/\n")
				if err := walk(sub, p); err != nil {
					return err
				}
				continue
			}
			s, err := textOf(ctx, d, p)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			lines = append(lines, fmt.Sprintf("%s %d %x\n", p, len(s), hash(s)))
		}
		return nil
	}
	err := walk(d.Root(), "")
	slices.Sort(lines)
	return strings.Join(lines, ""), err
}

// object returns what the store has under a raw key, past the hooks. That it has nothing there fails the test.
func object(t *testing.T, b *mem.Backend, key string) ([]byte, fs.Info) {
	t.Helper()
	data, info, ok := b.Contents(key)
	if !ok {
		t.Errorf("the store has no %s", key)
	}
	return data, info
}
