package drive

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// reserved holds the engines' records in the store itself, so that all daemons see the same. Every call asks the store.
type reserved struct {
	d  *Drive
	mu sync.Mutex // held while a record is written, for stores that check conditions only beforehand
}

var _ fs.Reserved = (*reserved)(nil)

const reservedPrefix = fs.ReservedName + "/"

func (r *reserved) enter(ctx context.Context, name string) (context.Context, context.CancelFunc, error) {
	if _, err := fs.ParsePath(name); err != nil || name == "" {
		return nil, nil, fail("reserved", name, fs.Name)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fs.Wrap("reserved", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.d.opts.Deadline)
	return ctx, cancel, nil
}

func (r *reserved) Get(ctx context.Context, name string) ([]byte, fs.Version, error) {
	ctx, cancel, err := r.enter(ctx, name)
	if err != nil {
		return nil, "", err
	}
	defer cancel()
	in, err := r.d.backend.Read(ctx, reservedPrefix+name, fs.ReadOptions{})
	r.d.heard(err)
	if err != nil {
		return nil, "", fs.Wrap("reserved get", name, err)
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, "", fs.Wrap("reserved get", name, err)
	}
	return data, in.Info().Version, nil
}

func (r *reserved) Put(ctx context.Context, name string, data []byte, c fs.Cond) (fs.Version, error) {
	ctx, cancel, err := r.enter(ctx, name)
	if err != nil {
		return "", err
	}
	defer cancel()
	if c.IfAbsent && c.IfVersion != "" {
		return "", fail("reserved put", name, fs.Invalid)
	}
	if r.d.opts.ReadOnly {
		return "", fail("reserved put", name, fs.ReadOnly)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := r.d.stream(ctx, reservedPrefix+name, bytes.NewReader(data), fs.WriteOptions{
		Cond: c, Size: int64(len(data)), WriteID: fs.NewFileID().String(),
	})
	r.d.heard(err)
	return info.Version, r.failed("reserved put", name, c, err)
}

// failed is an error as [fs.Reserved] has it.
func (r *reserved) failed(op, name string, c fs.Cond, err error) error {
	if err != nil && c.IfVersion != "" && fs.KindOf(err) == fs.NotExist {
		return &fs.Error{Op: op, Path: name, Kind: fs.Conflict, Err: err}
	}
	return fs.Wrap(op, name, err)
}

func (r *reserved) Delete(ctx context.Context, name string, c fs.Cond) error {
	ctx, cancel, err := r.enter(ctx, name)
	if err != nil {
		return err
	}
	defer cancel()
	if r.d.opts.ReadOnly {
		return fail("reserved delete", name, fs.ReadOnly)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.IfVersion == "" {
		if _, err := r.d.backend.Stat(ctx, reservedPrefix+name); err != nil {
			return fs.Wrap("reserved delete", name, err)
		}
	}
	err = r.d.backend.Remove(ctx, reservedPrefix+name, fs.RemoveOptions{Cond: c})
	r.d.heard(err)
	return r.failed("reserved delete", name, c, err)
}

func (r *reserved) Names(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("reserved names", prefix, err)
	}
	dir, _ := split(prefix)
	var names []string
	var walk func(dir string) error
	walk = func(dir string) error {
		infos, err := r.d.list(ctx, strings.TrimSuffix(reservedPrefix+dir, "/"))
		for _, info := range infos {
			name := strings.TrimPrefix(info.Key, reservedPrefix)
			switch {
			case err != nil:
			case info.Type == fs.Directory:
				err = walk(name)
			case strings.HasPrefix(name, prefix):
				names = append(names, name)
			}
		}
		return err
	}
	if err := walk(dir); err != nil {
		return nil, fs.Wrap("reserved names", prefix, err)
	}
	slices.Sort(names)
	return names, nil
}
