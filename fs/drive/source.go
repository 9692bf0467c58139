package drive

import (
	"context"
	"errors"
	"io"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// source reads one version of a key in the store, from anywhere in it.
type source interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	Close()
}

// openSource returns what reads a version. The caller closes it.
func (d *Drive) openSource(at base) (source, error) {
	return &direct{d: d, at: at}, nil
}

// direct is a source that asks the store for each read.
type direct struct {
	d  *Drive
	at base
}

func (s *direct) Close() {}

func (s *direct) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.d.opts.Deadline)
	defer cancel()
	r, err := s.d.backend.Read(ctx, s.at.key, fs.ReadOptions{Off: off, Len: int64(len(p)), IfVersion: s.at.version})
	s.d.heard(err)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// readAll fills p, which lies within the version.
func readAll(ctx context.Context, s source, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := s.ReadAt(ctx, p, off)
		if n == len(p) {
			return nil
		}
		if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
			if errors.Is(err, io.EOF) {
				err = &fs.Error{Op: "read", Kind: fs.Checksum, Err: io.ErrUnexpectedEOF}
			}
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// reader returns what reads a version, and what is to be called when it is not needed any more.
func (d *Drive) reader(at base) (from remote, done func()) {
	var src source
	from = func(ctx context.Context, p []byte, off int64) (err error) {
		if src == nil {
			if src, err = d.openSource(at); err != nil {
				return err
			}
		}
		return readAll(ctx, src, p, off)
	}
	return from, func() {
		if src != nil {
			src.Close()
		}
	}
}

// toCache keeps what was uploaded, which need not be read from the store then.
func (d *Drive) toCache(*job, fs.Info) {}
