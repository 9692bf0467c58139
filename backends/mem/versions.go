package mem

import (
	"context"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// version is one of the versions of a raw key; obj is nil where the key was removed.
type version struct {
	id  string
	obj *object
}

// Versioned is a Backend that keeps old versions. Made by [Backend.Versioned].
type Versioned struct{ *Backend }

var _ fs.Versioner = Versioned{}

// Versioned returns the same store with the methods of fs.Versioner. It is only of use with BackendOptions.Versions.
func (b *Backend) Versioned() Versioned { return Versioned{b} }

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
func (v Versioned) Versions(ctx context.Context, key string, _ fs.ListOptions) (page fs.Page, err error) {
	err = v.do(ctx, Request{Op: "versions", Key: key}, func() error {
		old := v.old[v.objects.resolve(key)]
		for i := len(old) - 1; i >= 0; i-- {
			if old[i].obj == nil {
				continue
			}
			info := old[i].obj.partial(key)
			info.Version += fs.Version(versionMark + old[i].id)
			page.Infos = append(page.Infos, info)
		}
		return nil
	})
	return page, err
}

// Restore makes an old version the present one.
func (v Versioned) Restore(ctx context.Context, key string, old fs.Version, c fs.Cond) (info fs.Info, err error) {
	err = v.do(ctx, Request{Op: "copy", Key: key, Dst: key, Cond: c}, func() error {
		obj, err := v.version(key, old)
		if err != nil {
			return err
		}
		raw := v.objects.resolve(key)
		if _, err := v.check(raw, c, "", v.caps.CondCopy); err != nil {
			return err
		}
		obj = obj.patched(nil, "")
		v.store(raw, obj)
		info = obj.as(key)
		return nil
	})
	return info, err
}

// Drop forgets an old version. The present one is Invalid.
func (v Versioned) Drop(ctx context.Context, key string, old fs.Version) error {
	return v.do(ctx, Request{Op: "drop", Key: key}, func() error {
		raw := v.objects.resolve(key)
		_, id, _ := strings.Cut(string(old), versionMark)
		all := v.old[raw]
		for i := range all {
			if all[i].id != id {
				continue
			}
			if i == len(all)-1 && all[i].obj != nil {
				return kindError(fs.Invalid)
			}
			v.old[raw] = append(all[:i:i], all[i+1:]...)
			return nil
		}
		return kindError(fs.NotExist)
	})
}
