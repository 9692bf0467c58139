package bucketfaults

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// parent returns the directory of a path, and the last name.
func parent(ctx context.Context, d fs.Drive, path string) (fs.Dir, string, error) {
	at := d.Root()
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return at, name, nil
		}
		n, err := at.Lookup(ctx, name)
		if err != nil {
			return nil, "", err
		}
		next, ok := n.(fs.Dir)
		if !ok {
			return nil, "", &fs.Error{Op: "walk", Path: path, Kind: fs.NotDir}
		}
		at, path = next, rest
	}
}

func lookup(ctx context.Context, d fs.Drive, path string) (fs.Node, error) {
	dir, name, err := parent(ctx, d, path)
	if err != nil {
		return nil, err
	}
	return dir.Lookup(ctx, name)
}

// contents reads all of an open file.
func contents(ctx context.Context, h fs.Handle) (string, error) {
	a, err := h.Attr(ctx)
	if err != nil {
		return "", err
	}
	p := make([]byte, a.Size)
	n, err := h.ReadAt(ctx, p, 0)
	if int64(n) == a.Size {
		err = nil
	}
	return string(p[:n]), err
}

// text returns the contents of the file at path, or a symlink's target.
func text(ctx context.Context, d fs.Drive, path string) (string, error) {
	n, err := lookup(ctx, d, path)
	if err != nil {
		return "", err
	}
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return "", err
	}
	s, err := contents(ctx, h)
	return s, errors.Join(err, h.Release(ctx))
}

// names returns the entries of a directory with their sizes, sorted.
func names(ctx context.Context, d fs.Drive, path string) ([]fs.Entry, error) {
	n := fs.Node(d.Root())
	if path != "" {
		var err error
		if n, err = lookup(ctx, d, path); err != nil {
			return nil, err
		}
	}
	dir, ok := n.(fs.Dir)
	if !ok {
		return nil, &fs.Error{Op: "list", Path: path, Kind: fs.NotDir}
	}
	l, err := dir.List(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var all []fs.Entry
	for e, err := range fs.Entries(ctx, l) {
		if err != nil {
			return nil, err
		}
		if path != "" || e.Name != fs.ReservedName { // the tree hides it
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b fs.Entry) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// dump writes the whole tree below path: each file with the size and hash of its contents.
func dump(ctx context.Context, d fs.Drive, w io.Writer, path string) error {
	all, err := names(ctx, d, path)
	if err != nil {
		return fmt.Errorf("list %s: %w", path, err)
	}
	for _, e := range all {
		at := strings.TrimPrefix(path+"/"+e.Name, "/")
		if e.Attr.Type() == fs.Directory {
			fmt.Fprintf(w, "%s/\n", at)
			if err := dump(ctx, d, w, at); err != nil {
				return err
			}
			continue
		}
		s, err := text(ctx, d, at)
		if err != nil {
			return fmt.Errorf("read %s: %w", at, err)
		}
		fmt.Fprintf(w, "%s %d %x\n", at, len(s), sha256.Sum256([]byte(s)))
	}
	return nil
}

// treeOf returns what dump writes.
func treeOf(ctx context.Context, d fs.Drive) (string, error) {
	var b strings.Builder
	err := dump(ctx, d, &b, "")
	return b.String(), err
}
