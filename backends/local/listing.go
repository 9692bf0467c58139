package local

import (
	"context"
	"io"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// listing is a snapshot of names; attributes are read when asked for.
type listing struct {
	x     *dir
	fd    int
	names []string

	mu     sync.RWMutex // guards closed; held for reading while fd is used
	closed bool
}

var _ fs.Listing = (*listing)(nil)

// List returns a snapshot of the names, sorted. Temporary files and the daemon's folder are left out.
func (x *dir) List(ctx context.Context) (fs.Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("list", "", err)
	}
	x.watch()
	var st unix.Statx_t
	fd, err := x.open("list", unix.O_RDONLY|unix.O_DIRECTORY, &st)
	if err != nil {
		return nil, err
	}
	names, err := readNames(ctx, fd)
	if err != nil {
		closeFd(fd)
		return nil, fs.Wrap("list", x.pathOf(""), err)
	}
	l := &listing{x: x, fd: fd}
	l.names = slices.DeleteFunc(names, func(name string) bool {
		if isTemp(name) {
			x.d.cleanTemp(fd, name)
		}
		return x.isReserved(name)
	})
	slices.Sort(l.names)
	return l, nil
}

func readNames(ctx context.Context, fd int) ([]string, error) {
	var names []string
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		size := 0
		err := retry(func() (err error) {
			size, err = unix.ReadDirent(fd, buf)
			return err
		})
		if err != nil || size <= 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:size], -1, names)
	}
	return nil, ctx.Err()
}

// At returns the entry with index i. Its node is nil unless somebody has it.
func (l *listing) At(ctx context.Context, i int) (fs.Entry, error) {
	if err := ctx.Err(); err != nil {
		return fs.Entry{}, fs.Wrap("list", "", err)
	}
	if i < 0 || i >= len(l.names) {
		return fs.Entry{}, io.EOF
	}
	name := l.names[i]
	if l.x.hides(name) {
		n := l.x.hidden(name)
		a, err := n.Attr(ctx)
		return fs.Entry{Name: name, Node: n, Attr: a}, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return fs.Entry{}, &fs.Error{Op: "list", Path: name, Kind: fs.Invalid}
	}
	var st unix.Statx_t
	if err := statAt(l.fd, name, &st); err != nil {
		return fs.Entry{}, fs.Wrap("list", l.x.pathOf(name), err)
	}
	n := l.x.d.known(l.x.d.ident(&st))
	e := fs.Entry{Name: name, Attr: l.x.d.attr(&st)}
	e.Attr.Version = l.x.d.version(n, &st)
	// A node without a place here may be in the course of being renamed: whoever wants it looks it up.
	if p, ok := l.x.kid(name); ok && n != nil && p.id == n.id {
		e.Node = n.as()
	}
	return e, nil
}

// Close ends the listing.
func (l *listing) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		closeFd(l.fd)
	}
	return nil
}
