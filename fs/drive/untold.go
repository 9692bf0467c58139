package drive

import (
	"context"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// untold says which attributes of a file the store has not told yet, and nobody has set since: a listing tells names, sizes and versions
// only. What meta has in their place is not written to the store. A file keeps the version that has not told of itself as meta.at, also
// when none of its bytes are needed any more, until that is learnt.
type untold byte

const (
	untoldMode untold = 1 << iota
	untoldTime
	untoldID
	untoldType // it may be a symbolic link or a special file
)

// maxLink is longer than the target of any symbolic link.
const maxLink = 4096

// untoldOf returns what is not told of a file.
func untoldOf(info *fs.Info) (u untold) {
	if info.Partial {
		u = untoldMode | untoldTime | untoldID
	}
	if info.Partial && info.Size < maxLink {
		u |= untoldType
	}
	return u
}

// revalidate asks the store whether the file is the one that it has, unless it was asked a moment ago, and since the time that ctx may carry,
// and has told all of needs. It returns the node that has the name now, nil if none has.
func (f *file) revalidate(ctx context.Context, needs untold) (inode, error) {
	oldest := time.Now().Add(-f.d.opts.ContentsTTL)
	if since := fs.SinceOf(ctx); since.After(oldest) {
		oldest = since
	}
	for {
		key, at, due := f.isDue(oldest.UnixNano(), needs)
		if !due {
			return f, nil
		}
		now, again, err := f.ask(ctx, key, at)
		if err != nil || !again {
			return now, err
		}
	}
}

// isDue reports whether the store is to be asked about the file, since it was last asked before oldest or has not told all of needs: about at,
// which it has for key. Of a file that was moved or changed it is only asked for what it has not told.
func (f *file) isDue(oldest int64, needs untold) (key string, at base, due bool) {
	f.d.mu.RLock()
	defer f.d.mu.RUnlock()
	key, named := f.path()
	at = f.m.at
	if !named || at.version == "" || f.d.isOffline() {
		return key, at, false
	}
	if f.isChanged() {
		needs &^= untoldType // it is a file from here on
	}
	switch {
	case f.m.untold&needs != 0, f.checked < oldest && f.isClean(key):
		due = true
	default:
		due = f.checked < oldest && at.key != "" && f.m.untold != 0 && !f.isChanged()
	}
	return key, at, due
}

// isChanged reports whether the file has bytes, or is about to get some, that the store does not have. The caller holds mu.
func (f *file) isChanged() bool { return isBeingWritten(f) || f.m.get().content != nil }

// isClean reports whether the file, whose path is key, is what the store is to have there. The caller holds mu.
func (f *file) isClean(key string) bool {
	return f.m.at.key == "" && !f.d.isPending(key) && !isBeingWritten(f)
}

// ask asks the store about at, which it has for the file with that key. It returns the node that has the name then, and whether that has
// moved meanwhile, so that nothing is known but that.
func (f *file) ask(ctx context.Context, key string, at base) (now inode, moved bool, err error) {
	d := f.d
	from := key
	if at.key != "" {
		from = at.key
	}
	var info fs.Info
	asked := time.Now().UnixNano()
	err = d.look(ctx, func(ctx context.Context) (err error) {
		info, err = d.recheck(ctx, from)
		return err
	})
	if err != nil && fs.KindOf(err) != fs.NotExist {
		if isUnreachable(err) {
			return f, false, nil
		}
		return nil, false, fs.Wrap("open", key, err)
	}
	gone := err != nil
	err = d.settle("open", key, func(t *tx) error {
		d.regain(f)
		path, ok := f.path()
		switch {
		case !ok:
		case f.m.at != at, at.key == "" && path != key:
			now, moved = f, true // what the store said may be about what it had before this drive has written
		case f.isClean(path):
			now = t.compare(f, info, gone, asked)
		default:
			now = t.compareHeld(f, info, gone, asked)
		}
		return nil
	})
	return now, moved, err
}

// toldAll asks for all that the store has not told of the file. It returns the file that has the name then, nil if none has.
func (f *file) toldAll(ctx context.Context) (*file, error) {
	f.d.mu.RLock()
	needs := f.m.untold
	f.d.mu.RUnlock()
	if needs == 0 {
		return f, nil
	}
	n, err := f.revalidate(ctx, needs)
	now, _ := n.(*file)
	return now, err
}

// surely makes sure, as far as the store can be asked, that what is to be changed without being opened is a file.
func (f *file) surely(ctx context.Context, op string) error {
	f.d.mu.RLock()
	known := f.m.untold&untoldType == 0
	f.d.mu.RUnlock()
	if known {
		return nil
	}
	now, err := f.revalidate(ctx, untoldType)
	switch {
	case err != nil || now == inode(f):
		return err
	case now != nil && fs.CauseOf(ctx).Origin != fs.OriginMount:
		_, err = asFile(now)
	}
	if err == nil {
		err = fail(op, f.where(), fs.Stale)
	}
	return err
}

// compareHeld works in what the store, when it was asked, said of the version that it has of a file which was moved or changed here. Whether it
// still has that is for those to find out who need its bytes.
func (t *tx) compareHeld(f *file, info fs.Info, gone bool, asked int64) inode {
	is := !gone && f.m.at.isOf(f, &info)
	if is || f.m.at.key != "" {
		f.checked = max(f.checked, asked)
	}
	switch {
	case !is:
	case info.Type == fs.File:
		t.dress(f, info)
	case !f.isChanged():
		return t.become(f, &info)
	}
	return f
}

// become gives the name of f, which was moved or got other attributes, to the symbolic link or special file that it is.
func (t *tx) become(f *file, info *fs.Info) inode {
	was := f.m
	n := t.replaceFound(was.parent, was.name, info)
	was.at.size = max(info.Size, 0)
	t.setAt(n, was.at)
	if m := &n.meta().m; n.kind() == kindSpecial && was.metaDirty {
		m.metaDirty = true
		if was.untold&untoldMode == 0 {
			m.mode = m.mode&fs.ModeType | was.mode&fs.ModePerm
		}
		if was.untold&untoldTime == 0 {
			m.mtime = was.mtime
		}
	}
	t.want(n)
	return n
}

// dress takes over attributes that a listing does not tell. Of a file that the journal has those are newer that the store has told before, or
// was told.
func (t *tx) dress(f *file, info fs.Info) {
	take := untoldMode | untoldTime | untoldID
	if f.m.kept {
		take = f.m.untold
	}
	if info.Partial || take == 0 {
		return
	}
	if f.m.kept {
		t.touch(f)
	}
	f.m.parent.edits++
	t.d.keeper.keep(f.m.parent)
	isNew := f.m.untold&untoldID != 0 || f.m.get().id.IsZero()
	f.dressed, f.m.untold = true, 0
	if info.HasMode && take&untoldMode != 0 {
		f.m.mode = fs.ModeFile | info.Mode&fs.ModePerm
	}
	if !info.ModTime.IsZero() && take&untoldTime != 0 {
		f.m.mtime = info.ModTime.UnixNano()
	}
	if !info.FileID.IsZero() && isNew {
		f.m.edit(func(m *more) { m.id = info.FileID })
	}
}

// dressAnew takes over the attributes of a version that others have put in the place of the one that f had. What was set here stays.
func (t *tx) dressAnew(f *file, info fs.Info) {
	if !f.m.metaDirty {
		f.m.untold |= untoldMode | untoldTime
	}
	if info.Type == fs.File {
		t.dress(f, info)
	} else {
		f.m.untold |= untoldType
	}
}

// learn asks the store for what the version that is about to be replaced has and the new one is to have too.
func (d *Drive) learn(ctx context.Context, j *job, f *file) error {
	from, is := j.v.at.key, j.v.at.version
	if is == "" {
		from, is = j.key, j.have
	}
	var info fs.Info
	if is != "" {
		var err error
		if info, err = d.stat(ctx, from); err != nil && fs.KindOf(err) != fs.NotExist {
			return err
		}
	}
	to := ""
	err := d.settle("upload", j.key, func(t *tx) error {
		if t.d.at(j.keyed) != inode(f) {
			return nil
		}
		t.edit(j.keyed).due = time.Now()
		if f.baseAt() != j.v.at {
			return nil // it was put elsewhere meanwhile
		}
		if isLink := t.learnt(f, info, is != "" && info.Version == is); isLink {
			to = t.keepLink(j, &info)
		}
		return nil
	})
	if err == nil && to != "" {
		d.tellBoth(j.key, to)
	}
	return err
}

// learnt takes over what f, which was changed, is to have of the version before: info tells it, if it is of that one. It reports whether that is
// no file, of which the one who has changed it could not know.
func (t *tx) learnt(f *file, info fs.Info, ofThat bool) (isLink bool) {
	isLink = ofThat && info.Type != fs.File && f.m.untold&untoldType != 0
	if ofThat && !isLink {
		t.dress(f, info)
	}
	t.touch(f)
	f.m.untold = 0
	return isLink
}

// keepLink gives the job's path to the symbolic link or special file that the changed file was, and the file another name.
func (t *tx) keepLink(j *job, info *fs.Info) (to string) {
	before := *t.d.pending[j.keyed]
	to = t.keepBoth(j, info)
	if j.m.at.key == "" {
		return to // the store has it there
	}
	n := t.d.at(j.keyed)
	t.setAt(n, base{j.m.at.key, info.Version, max(info.Size, 0)})
	p := t.edit(j.keyed)
	p.have, p.unsure, p.due = before.have, before.unsure, time.Now()
	return to
}

// learnNow is learn for a file that is to need no more what the store has of it.
func (d *Drive) learnNow(ctx context.Context, f *file) error {
	d.mu.RLock()
	at, due := f.baseAt(), f.named() && f.m.untold != 0 && f.m.at.version != ""
	d.mu.RUnlock()
	if !due {
		return nil
	}
	info, err := d.stat(ctx, at.key)
	if err != nil && fs.KindOf(err) != fs.NotExist {
		return err
	}
	gone := err != nil
	return d.settle("fetch", at.key, func(t *tx) error {
		if f.baseAt() != at || !f.named() {
			return nil
		}
		if now := t.compareHeld(f, info, gone, 0); now == inode(f) {
			t.touch(f)
			f.m.untold = 0 // what is not known by now nobody can tell
		}
		return nil
	})
}
