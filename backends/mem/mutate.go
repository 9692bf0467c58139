package mem

import (
	"context"
	"crypto/sha256"
	"maps"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func sha256Of(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// Mkdir makes a directory's marker. The condition is about the marker: a directory without one is no obstacle.
func (b *Backend) Mkdir(ctx context.Context, key string, c fs.Cond) (info fs.Info, err error) {
	if err := b.checkKey(key); err != nil {
		return fs.Info{}, fs.Wrap("mkdir", key, err)
	}
	err = b.do(ctx, Request{Op: "mkdir", Key: key, Cond: c}, func() error {
		if _, err := b.check(key+"/", c, "", b.caps.CondWrite); err != nil {
			return err
		}
		b.store(key+"/", &object{info: newInfo(nil, fs.WriteOptions{MIME: "application/x-directory"})})
		info = b.objects.dir(key)
		return nil
	})
	return info, err
}

// Marked returns what a directory's marker tells.
func (b *Backend) Marked(ctx context.Context, key string) (info fs.Info, err error) {
	err = b.do(ctx, Request{Op: "marked", Key: key}, func() error {
		if b.objects.get(key+"/") == nil {
			return kindError(fs.NotExist)
		}
		info = b.objects.dir(key)
		return nil
	})
	return info, err
}

// Mark sets attributes of a directory's marker.
func (b *Backend) Mark(ctx context.Context, key string, p fs.MetaPatch) (info fs.Info, err error) {
	if err := b.checkKey(key); err != nil {
		return fs.Info{}, fs.Wrap("mark", key, err)
	}
	err = b.do(ctx, Request{Op: "mark", Key: key}, func() error {
		obj := b.objects.get(key + "/")
		if obj == nil {
			obj = &object{info: newInfo(nil, fs.WriteOptions{MIME: "application/x-directory"})}
		}
		b.store(key+"/", obj.patched(&p, ""))
		info = b.objects.dir(key)
		return nil
	})
	return info, err
}

// Remove removes a file or a marker.
func (b *Backend) Remove(ctx context.Context, key string, o fs.RemoveOptions) error {
	return b.do(ctx, Request{Op: "remove", Key: key, Cond: o.Cond}, func() error {
		raw := b.objects.resolve(key)
		if o.Dir {
			raw = key + "/"
		}
		if o.Cond.IfAbsent || o.Trash {
			return kindError(fs.Invalid)
		}
		if _, err := b.check(raw, o.Cond, "", b.caps.CondRemove); err != nil {
			return err
		}
		if b.objects.get(raw) != nil {
			b.keep(raw, nil)
			b.objects.remove(raw)
		}
		return nil
	})
}

// Copy copies a file.
func (b *Backend) Copy(ctx context.Context, src, dst string, o fs.CopyOptions) (info fs.Info, err error) {
	if err := b.checkKey(dst); err != nil {
		return fs.Info{}, fs.Wrap("copy", dst, err)
	}
	err = b.do(ctx, Request{Op: "copy", Key: src, Dst: dst, Cond: o.Dst, WriteID: o.WriteID}, func() error {
		from, err := b.objects.file(src)
		if err != nil {
			return err
		}
		if o.SrcVersion != "" && from.info.Version != o.SrcVersion {
			return kindError(fs.Conflict)
		}
		raw := b.target(dst, o.Dst)
		done, err := b.check(raw, o.Dst, o.WriteID, b.caps.CondCopy)
		if err != nil || done != nil {
			info = done.orNothing(dst)
			return err
		}
		obj := from.patched(o.Meta, o.WriteID)
		b.store(raw, obj)
		info = obj.as(dst)
		return nil
	})
	return info, err
}

// SetMeta changes metadata. The version stays.
func (b *Backend) SetMeta(ctx context.Context, key string, p fs.MetaPatch, c fs.Cond) (info fs.Info, err error) {
	err = b.do(ctx, Request{Op: "set meta", Key: key, Cond: c}, func() error {
		obj, err := b.objects.file(key)
		if err != nil {
			return err
		}
		raw := b.objects.resolve(key)
		if _, err := b.check(raw, c, "", b.caps.CondMeta); err != nil {
			return err
		}
		obj = obj.patched(&p, obj.info.WriteID)
		b.store(raw, obj)
		info = obj.as(key)
		return nil
	})
	return info, err
}

// patched returns a copy with other metadata; a nil patch and no write id change nothing.
func (obj *object) patched(p *fs.MetaPatch, writeID string) *object {
	next := *obj
	next.info.Meta = maps.Clone(obj.info.Meta)
	if writeID != "" {
		next.info.WriteID = writeID
	}
	if p == nil {
		return &next
	}
	for k, v := range p.Meta {
		if next.info.Meta == nil {
			next.info.Meta = map[string]string{}
		}
		next.info.Meta[k] = v
		if v == "" {
			delete(next.info.Meta, k)
		}
	}
	set(&next.info.MIME, p.MIME)
	set(&next.info.ModTime, p.ModTime)
	set(&next.info.FileID, p.FileID)
	if p.Mode != nil {
		next.info.Mode, next.info.HasMode = *p.Mode&fs.ModePerm, true
	}
	return &next
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}
