package mem

import (
	"context"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// version is one of the versions of a raw key; obj is nil where the key was removed.
type version struct {
	id  string
	obj *object
}

var _ fs.Versioner = (*Backend)(nil)

// versionMark parts what the contents are from which of the versions it is, as in `"etag"#00000007`.
const versionMark = "#"

// keep notes that obj, or nothing, becomes the present version of raw. The caller holds mu.
func (b *Backend) keep(raw string, obj *object) {
	if b.opts.Versions {
		b.old[raw] = append(b.old[raw], version{id: b.next(), obj: obj})
	}
}

// version returns the present object at path, or the old one that v names.
func (b *Backend) version(path string, v fs.Version) (*object, error) {
	if v == "" {
		return b.objects.file(path)
	}
	etag, id, _ := strings.Cut(string(v), versionMark)
	for _, old := range b.old[b.objects.resolve(path)] {
		if old.obj != nil && string(old.obj.info.Version) == etag && (id == "" || id == old.id) {
			return old.obj, nil
		}
	}
	if obj, err := b.objects.file(path); err == nil && string(obj.info.Version) == etag && id == "" {
		return obj, nil
	}
	return nil, kindError(fs.NotExist)
}

// Versions returns the versions of a file, the newest first, each with a Version that names it alone.
func (b *Backend) Versions(ctx context.Context, key string, _ fs.ListOptions) (page fs.Page, err error) {
	err = b.do(ctx, Request{Op: "versions", Key: key}, func() error {
		old := b.old[b.objects.resolve(key)]
		for _, kept := range slices.Backward(old) {
			if kept.obj == nil {
				continue
			}
			info := kept.obj.partial(key)
			info.Version += fs.Version(versionMark + kept.id)
			page.Infos = append(page.Infos, info)
		}
		return nil
	})
	return page, err
}

// Restore makes an old version the present one.
func (b *Backend) Restore(ctx context.Context, key string, old fs.Version, c fs.Cond) (info fs.Info, err error) {
	err = b.do(ctx, Request{Op: "copy", Key: key, Dst: key, Cond: c}, func() error {
		obj, err := b.version(key, old)
		if err != nil {
			return err
		}
		raw := b.objects.resolve(key)
		if _, err := b.check(raw, c, "", b.caps.CondCopy); err != nil {
			return err
		}
		obj = obj.patched(nil, "")
		b.store(raw, obj)
		info = obj.as(key)
		return nil
	})
	return info, err
}

// Drop forgets an old version. The present one is Invalid.
func (b *Backend) Drop(ctx context.Context, key string, old fs.Version) error {
	return b.do(ctx, Request{Op: "drop", Key: key}, func() error {
		raw := b.objects.resolve(key)
		_, id, _ := strings.Cut(string(old), versionMark)
		all := b.old[raw]
		for i := range all {
			if all[i].id != id {
				continue
			}
			if i == len(all)-1 && all[i].obj != nil {
				return kindError(fs.Invalid)
			}
			b.old[raw] = append(all[:i:i], all[i+1:]...)
			return nil
		}
		return kindError(fs.NotExist)
	})
}
