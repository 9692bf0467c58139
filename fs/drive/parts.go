package drive

import (
	"cmp"
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// partsAtOnce is how many parts of one file are under way at a time.
const partsAtOnce = 4

// parts is an upload in parts that the journal knows, so that it goes on after a restart. What was uploaded of it the store knows.
type parts struct {
	gen   uint64 // of the contents
	id    string
	begun int64
}

// partSize returns how large the parts of a file are. It must not depend on anything but the file and the store.
func partSize(size int64, caps fs.Caps) int64 {
	part := max(caps.PartMin, 8<<20)
	switch {
	case size > 320<<30:
		part = max(part, 64<<20)
	case size > 80<<30:
		part = max(part, 16<<20)
	}
	if caps.MaxParts > 0 {
		const unit = 1 << 20
		least := (size + int64(caps.MaxParts) - 1) / int64(caps.MaxParts)
		part = max(part, (least+unit-1)/unit*unit)
	}
	return part
}

// sendParts uploads a large file in parts: those that the store has already, from a try before, are not sent again, and those that
// were not changed are copied on its side.
func (d *Drive) sendParts(ctx context.Context, up fs.Uploads, j *job, src io.ReaderAt, o fs.WriteOptions) (fs.Info, error) {
	u, done, resumed, err := d.openUpload(ctx, up, j, o)
	if err != nil {
		return fs.Info{}, err
	}
	s := &sender{d: d, up: up, u: u, j: j, src: src, size: partSize(o.Size, d.backend.Caps()), done: map[int]fs.Part{}}
	for _, p := range done {
		s.done[p.N] = p
	}
	all, err := s.run(ctx, o.Size)
	if err != nil {
		return fs.Info{}, err
	}
	d.hook("store:complete:before")
	info, err := up.CompleteUpload(ctx, u, all, o)
	d.hook("store:complete:after")
	switch {
	case err == nil:
		if resumed { // it has the attributes that it was begun with
			now, err := d.stat(ctx, j.key)
			j.oldMeta = err != nil || j.differs(now)
		}
		return info, nil
	case fs.KindOf(err) == fs.Busy, fs.KindOf(err) == fs.NotExist && o.Cond.IfVersion == "":
		d.forgetUpload(j.keyed) // it is to be begun again
		return fs.Info{}, &fs.Error{Op: "upload", Path: j.key, Kind: fs.Busy, Err: err}
	}
	return fs.Info{}, err
}

// openUpload goes on with the upload of the job's contents, or begins one.
func (d *Drive) openUpload(ctx context.Context, up fs.Uploads, j *job, o fs.WriteOptions) (u fs.Upload, done []fs.Part, resumed bool, err error) {
	d.mu.RLock()
	before := d.uploads[j.keyed]
	d.mu.RUnlock()
	if before != nil {
		u = fs.Upload{Key: j.key, ID: before.id, Begun: stamp(before.begun)}
		if before.gen == j.gen {
			done, err = up.UploadedParts(ctx, u)
			if err == nil || fs.KindOf(err) != fs.NotExist {
				return u, done, true, err
			}
		} else if err = up.AbortUpload(ctx, u); err != nil {
			return u, nil, false, err
		}
	}
	d.hook("store:begin:before")
	u, err = up.BeginUpload(ctx, j.key, o)
	if err != nil {
		return u, nil, false, err
	}
	d.hook("store:begin:after")
	return u, nil, false, d.settle("upload", j.key, func(t *tx) error {
		t.setUpload(j.keyed, &parts{gen: j.gen, id: u.ID, begun: time.Now().UnixNano()})
		return nil
	})
}

// setUpload writes down an upload in parts; nil forgets it.
func (t *tx) setUpload(k keyed, u *parts) {
	before := t.d.uploads[k]
	t.undo = append(t.undo, func() { t.d.putUpload(k, before) })
	t.d.putUpload(k, u)
	t.uploads = append(t.uploads, k)
}

func (d *Drive) putUpload(k keyed, u *parts) {
	if u == nil {
		delete(d.uploads, k)
		return
	}
	d.uploads[k] = u
}

// forgetUpload forgets an upload in parts that has ended.
func (d *Drive) forgetUpload(k keyed) {
	if err := d.settle("upload", k.key, func(t *tx) error {
		if t.d.uploads[k] != nil {
			t.setUpload(k, nil)
		}
		return nil
	}); err != nil {
		d.log.Warn("an upload that has ended could not be written down", "key", k.key, "error", err)
	}
}

// endUpload aborts what is left of an upload in parts when its key is as it should be.
func (d *Drive) endUpload(ctx context.Context, k keyed) {
	d.mu.RLock()
	u := d.uploads[k]
	d.mu.RUnlock()
	if u == nil {
		return
	}
	if up, ok := fs.As[fs.Uploads](d.backend); ok {
		if err := up.AbortUpload(ctx, fs.Upload{Key: k.key, ID: u.id, Begun: stamp(u.begun)}); err != nil {
			return // gc finds it
		}
	}
	d.forgetUpload(k)
}

// sender sends the parts of one file.
type sender struct {
	d    *Drive
	up   fs.Uploads
	u    fs.Upload
	j    *job
	src  io.ReaderAt
	size int64 // of a part

	mu   sync.Mutex // guards all below
	done map[int]fs.Part
	err  error
}

// run sends what is missing and returns all parts by number.
func (s *sender) run(ctx context.Context, size int64) ([]fs.Part, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	slots := make(chan struct{}, partsAtOnce)
	count := int((size + s.size - 1) / s.size)
	for n := 1; n <= count && ctx.Err() == nil; n++ {
		r := span{int64(n-1) * s.size, min(int64(n)*s.size, size)}
		if s.has(n, r.end-r.off) {
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			if err := s.part(ctx, n, r); err != nil {
				cancel()
			}
		})
	}
	work.Wait()
	if s.err != nil {
		return nil, s.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := make([]fs.Part, 0, count)
	for n, p := range s.done {
		if n <= count {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b fs.Part) int { return cmp.Compare(a.N, b.N) })
	return all, nil
}

// has reports whether the store has a part already.
func (s *sender) has(n int, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.done[n]
	return ok && p.Size == size
}

// part sends one.
func (s *sender) part(ctx context.Context, n int, r span) error {
	s.d.hook("store:part:before")
	p, err := s.send(ctx, n, r)
	s.d.hook("store:part:after")
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return err
	}
	s.done[n] = p
	return nil
}

func (s *sender) send(ctx context.Context, n int, r span) (fs.Part, error) {
	at := s.j.v.at
	if at.version != "" && r.end-r.off >= s.d.backend.Caps().PartMin && s.j.v.untouched(r) {
		p, err := s.up.CopyPart(ctx, s.u, n, fs.CopyRange{Key: at.key, Version: at.version, Off: r.off, Size: r.end - r.off})
		if err == nil || fs.KindOf(err) != fs.Unsupported && !isCondition(err) {
			return p, err
		}
		// Where the store does not have the version any more the cache may.
	}
	return s.up.PutPart(ctx, s.u, n, io.NewSectionReader(s.src, r.off, r.end-r.off), r.end-r.off)
}

// untouched reports whether a range is wholly that of the store's version.
func (v *view) untouched(r span) bool {
	if r.end > v.at.size {
		return false
	}
	for _, l := range v.stack {
		if part, where := l.next(r); where != below || part != r {
			return false
		}
	}
	return true
}
