package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// replacement is a Replace or Copy under way.
type replacement struct {
	d    *Drive
	ctx  context.Context
	x    *dir
	name string
	path string
	o    fs.ReplaceOptions
	dir  int // x, open
	tmp  *os.File
	temp string // its name
	now  target
}

// target is what is at the name.
type target struct {
	there bool
	st    unix.Statx_t
	fd    int // of the file that was there at first, to read, or -1
}

// Replace makes r the whole contents of a file.
func (d *Drive) Replace(ctx context.Context, rel string, r io.Reader, o fs.ReplaceOptions) (fs.Replaced, error) {
	if o.IfAbsent && o.IfVersion != "" {
		return fs.Replaced{}, &fs.Error{Op: "replace", Path: rel, Kind: fs.Invalid}
	}
	w, err := d.replacement(ctx, rel, o)
	if err != nil {
		return fs.Replaced{}, err
	}
	defer w.close()
	out, err := w.run(func() error { return w.fill(r) })
	return out, fs.Wrap("replace", rel, err)
}

// replacement prepares to put a file at rel.
func (d *Drive) replacement(ctx context.Context, rel string, o fs.ReplaceOptions) (*replacement, error) {
	x, name, err := d.parent(ctx, "replace", rel)
	if err != nil {
		return nil, err
	}
	if err := x.mayChange(ctx, "replace", name); err != nil {
		return nil, err
	}
	x.watch()
	fd, err := x.enter("replace")
	if err != nil {
		return nil, err
	}
	return &replacement{d: d, ctx: ctx, x: x, name: name, path: rel, o: o, dir: fd, now: target{fd: -1}}, nil
}

// parent returns the directory of a path, and the name in it.
func (d *Drive) parent(ctx context.Context, op, rel string) (*dir, string, error) {
	p, err := fs.ParsePath(rel)
	if err != nil {
		return nil, "", err
	}
	switch {
	case p == "":
		return nil, "", &fs.Error{Op: op, Path: rel, Kind: fs.IsDir}
	case string(p) != rel:
		return nil, "", &fs.Error{Op: op, Path: rel, Kind: fs.Name}
	}
	x := d.root
	for rest := string(p.Dir()); rest != ""; {
		name := fs.Path(rest).Drive() // the first component
		rest = fs.Path(rest).Rel()
		n, err := x.Lookup(ctx, name)
		if err != nil {
			return nil, "", fs.Wrap(op, rel, err)
		}
		if h, ok := n.(hidden); ok {
			return nil, "", h.refuse(op)
		}
		if x, _ = n.(*dir); x == nil {
			return nil, "", fs.Wrap(op, rel, unix.ENOTDIR)
		}
	}
	return x, p.Base(), nil
}

func (w *replacement) close() {
	if w.now.fd >= 0 {
		closeFd(w.now.fd)
	}
	if w.tmp != nil {
		_ = w.tmp.Close() // synced before, or given up
		w.d.temps.end(w.temp)
	}
	closeFd(w.dir)
}

// run writes the temporary file with fill and puts it in place.
func (w *replacement) run(fill func() error) (fs.Replaced, error) {
	if err := w.inspect(); err != nil {
		return fs.Replaced{}, err
	}
	if err := w.openOld(); err != nil {
		return fs.Replaced{}, err
	}
	var err error
	if w.tmp, w.temp, err = w.d.makeTemp(w.dir, w.x.pathOf("")); err != nil {
		return fs.Replaced{}, err
	}
	out, err := w.finish(fill)
	if err != nil {
		_ = unix.Unlinkat(w.dir, w.temp, 0) // the error says it all; a leftover is found by its name
	}
	return out, err
}

func (w *replacement) finish(fill func() error) (fs.Replaced, error) {
	if err := fill(); err != nil {
		return fs.Replaced{}, err
	}
	if same, err := w.sameBytes(); err != nil || same {
		if err == nil {
			out, done, keepErr := w.keepOld()
			if keepErr != nil || done {
				return out, keepErr
			}
		}
		// If they cannot be compared they count as different.
	}
	if err := w.dress(); err != nil {
		return fs.Replaced{}, err
	}
	if err := w.tmp.Sync(); err != nil {
		return fs.Replaced{}, err
	}
	return w.commit()
}

// fill writes the contents.
func (w *replacement) fill(r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w.tmp}, ctxReader{w.ctx, r}, make([]byte, 128<<10))
	return err
}

// ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// inspect looks at the name and checks the conditions.
func (w *replacement) inspect() error {
	fail := func(k fs.Kind) error { return &fs.Error{Op: "replace", Path: w.path, Kind: k} }
	err := statAt(w.dir, w.name, &w.now.st)
	switch {
	case is(err, unix.ENOENT):
		if w.now.there = false; w.o.IfVersion != "" {
			return fail(fs.Conflict)
		}
		return nil
	case err != nil:
		return err
	}
	w.now.there = true
	switch {
	case w.o.IfAbsent:
		return fail(fs.Exist)
	case isDir(&w.now.st):
		return fail(fs.IsDir)
	case !isFile(&w.now.st):
		return fail(fs.Invalid) // a link is resolved by the caller
	case w.o.IfVersion != "" && w.o.IfVersion != w.version():
		return fail(fs.Conflict)
	}
	return nil
}

func (w *replacement) version() fs.Version {
	return w.d.version(w.d.known(w.d.ident(&w.now.st)), &w.now.st)
}

// openOld opens the file that is to be replaced, for comparison and for its attributes.
func (w *replacement) openOld() (err error) {
	if !w.now.there {
		return nil
	}
	w.now.fd, err = openAt(w.dir, w.name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if is(err, unix.EACCES) {
		w.now.fd, err = openAt(w.dir, w.name, unix.O_PATH, 0) // it cannot be compared
	}
	return err
}

// sameBytes reports whether the temporary file has the contents of the old one.
func (w *replacement) sameBytes() (bool, error) {
	var tmp unix.Statx_t
	if !w.now.there {
		return false, nil
	}
	if err := statFd(int(w.tmp.Fd()), &tmp); err != nil || tmp.Size != w.now.st.Size {
		return false, err
	}
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < int64(tmp.Size); {
		n, err := w.tmp.ReadAt(a, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		m, err := unix.Pread(w.now.fd, b[:n], off)
		if err != nil || m == 0 || !bytes.Equal(a[:m], b[:m]) {
			return false, err
		}
		off += int64(m)
	}
	return true, nil
}

// keepOld ends a replacement by equal bytes: the node stays. It reports false if the old file has changed since it was compared.
func (w *replacement) keepOld() (fs.Replaced, bool, error) {
	before := w.now.st
	w.x.ops.Lock()
	err := w.inspect()
	w.x.ops.Unlock()
	if err != nil {
		return fs.Replaced{}, false, err
	}
	if !w.now.there || stampOf(&before) != stampOf(&w.now.st) || w.d.ident(&before) != w.d.ident(&w.now.st) {
		return fs.Replaced{}, false, nil
	}
	n, a, err := w.kept()
	if kind := fs.KindOf(err); err != nil && (kind == fs.Stale || kind == fs.NotExist || kind == fs.Conflict) {
		return fs.Replaced{}, false, nil // another program has replaced it just now
	}
	if err != nil {
		return fs.Replaced{}, false, err
	}
	// The temporary file has served; should it stay behind it is found by its name.
	_ = unix.Unlinkat(w.dir, w.temp, 0)
	return fs.Replaced{Node: n, Attr: a}, true, nil
}

// kept returns the node of the file that was inspected, and its attributes with the time that it is to have. It fails with Conflict if another
// file has the name.
func (w *replacement) kept() (fs.Node, fs.Attr, error) {
	n, err := w.x.Lookup(w.ctx, w.name)
	if err != nil {
		return nil, fs.Attr{}, err
	}
	a, err := n.Attr(w.ctx)
	if err != nil {
		return nil, fs.Attr{}, err
	}
	if a.Version != w.version() {
		return nil, fs.Attr{}, &fs.Error{Op: "replace", Path: w.path, Kind: fs.Conflict}
	}
	if !w.o.ModTime.IsZero() {
		a, err = n.SetAttr(w.ctx, fs.SetAttr{Mtime: &w.o.ModTime})
	}
	return n, a, err
}

// dress gives the temporary file the attributes that it will have.
func (w *replacement) dress() error {
	fd := int(w.tmp.Fd())
	if w.now.there {
		if err := w.dressAsOld(fd); err != nil {
			return err
		}
	} else if err := w.dressAsNew(fd); err != nil {
		return err
	}
	if w.o.ModTime.IsZero() {
		return nil
	}
	ts := []unix.Timespec{timespec(&w.o.ModTime), timespec(&w.o.ModTime)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), ts, 0)
}

func (w *replacement) dressAsNew(fd int) error {
	var st unix.Statx_t
	if err := statFd(fd, &st); err != nil {
		return err
	}
	giveOwner(w.dir, w.temp, fs.CreateOptions{Owner: w.o.Owner}, &st)
	mode := w.o.Mode & fs.ModePerm
	if mode == 0 {
		mode = 0o644
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return err
	}
	// To give it later would move ctime once more.
	return w.d.setID(fd, fs.NewFileID(), &st)
}

// dressAsOld takes over owner, extended attributes, mode and id. Other contents do not run with the rights of the old ones, as after
// a write in place: the setuid and setgid bits go. The owner is kept as far as the daemon may: one who is not root can save a
// file of another's only as its own, as editors do.
func (w *replacement) dressAsOld(fd int) error {
	old := &w.now.st
	if unix.Fchown(fd, int(old.Uid), int(old.Gid)) != nil {
		_ = unix.Fchown(fd, -1, int(old.Gid)) // see above
	}
	if err := copyXattrs(procPath(w.now.fd), procPath(fd)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, uint32(old.Mode)&0o1777); err != nil {
		return err
	}
	id := w.d.idOf(w.now.fd, w.d.ident(old))
	if id.IsZero() {
		id = fs.NewFileID()
	}
	var st unix.Statx_t
	if err := statFd(fd, &st); err != nil {
		return err
	}
	return w.d.setID(fd, id, &st)
}

// commit renames the temporary file over the name, if the conditions hold still, and tells of it.
func (w *replacement) commit() (fs.Replaced, error) {
	w.x.ops.Lock()
	out, err := w.commitLocked()
	w.x.ops.Unlock()
	if err != nil {
		return fs.Replaced{}, err
	}
	return out, w.syncDir()
}

func (w *replacement) commitLocked() (fs.Replaced, error) {
	for range maxTries {
		if err := w.inspect(); err != nil {
			return fs.Replaced{}, err
		}
		if w.now.there {
			w.d.linger(w.dir, w.name, &w.now.st)
		}
		err := w.rename()
		if is(err, unix.EEXIST) || errors.Is(err, errSlipped) {
			continue // somebody else was faster: look again
		}
		if err != nil {
			return fs.Replaced{}, err
		}
		return w.record()
	}
	return fs.Replaced{}, &fs.Error{Op: "replace", Path: w.path, Kind: fs.Busy}
}

// errSlipped says that another program has changed the file between check and rename.
var errSlipped = &fs.Error{Op: "replace", Kind: fs.Conflict}

// rename puts the temporary file at the name. With a condition on the version the two are exchanged first: only what was taken away
// tells whether it was what the condition asked for.
func (w *replacement) rename() error {
	call := func(flags uint) error {
		return retry(func() error { return unix.Renameat2(w.dir, w.temp, w.dir, w.name, flags) })
	}
	switch {
	case !w.now.there:
		err := call(unix.RENAME_NOREPLACE)
		if is(err, unix.EINVAL) {
			return call(0)
		}
		return err
	case w.o.IfVersion == "":
		return call(0)
	}
	err := call(unix.RENAME_EXCHANGE)
	if is(err, unix.EINVAL) {
		return call(0)
	}
	if err != nil {
		return err
	}
	var was unix.Statx_t
	if err := statAt(w.dir, w.temp, &was); err == nil && !w.isOld(&was) {
		if err := call(unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		return errSlipped
	}
	// Should it stay behind it is found by its name.
	_ = unix.Unlinkat(w.dir, w.temp, 0)
	return nil
}

// isOld reports whether was is the file that was inspected, unchanged but for the ctime that renaming moves.
func (w *replacement) isOld(was *unix.Statx_t) bool {
	return w.d.ident(was) == w.d.ident(&w.now.st) && was.Size == w.now.st.Size && was.Mtime == w.now.st.Mtime
}

// record brings what is known up to date and tells of the replacement. The directory is locked.
func (w *replacement) record() (fs.Replaced, error) {
	var st unix.Statx_t
	if err := statFd(int(w.tmp.Fd()), &st); err != nil {
		return fs.Replaced{}, err
	}
	op, old := fs.OpCreate, (*node)(nil)
	if w.now.there {
		op, old = fs.OpReplace, w.x.taken(w.name, &w.now.st)
	}
	if w.now.there && w.now.st.Nlink > 1 {
		w.d.disown(w.now.fd, old)
	}
	n := w.d.put(w.x, w.name, &st)
	old.supersede()
	c := w.x.change(w.ctx, op, w.name, n, &st)
	c.Old = old.as()
	a := n.attr(&st)
	return fs.Replaced{Node: n, Attr: a, Seq: w.d.feed.publish(c)}, nil
}

func (w *replacement) syncDir() error {
	fd, err := openAt(w.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer closeFd(fd)
	return retry(func() error { return unix.Fsync(fd) })
}

// Copy makes dst a copy of src, sharing its blocks where the file system can.
func (d *Drive) Copy(ctx context.Context, src, dst string) (fs.Replaced, error) {
	x, name, err := d.parent(ctx, "copy", src)
	if err != nil {
		return fs.Replaced{}, err
	}
	n, err := x.Lookup(ctx, name)
	if err != nil {
		return fs.Replaced{}, fs.Wrap("copy", src, err)
	}
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return fs.Replaced{}, fs.Wrap("copy", src, err)
	}
	defer h.Release(ctx) //nolint:errcheck // only read
	from := h.(*handle).f.fd
	var st unix.Statx_t
	if err := statFd(from, &st); err != nil {
		return fs.Replaced{}, fs.Wrap("copy", src, err)
	}
	mtime := time.Time{} // a copy is new, as cp makes it
	w, err := d.replacement(ctx, dst, fs.ReplaceOptions{IfAbsent: true, Mode: uint32(st.Mode) & 0o777, ModTime: mtime})
	if err != nil {
		return fs.Replaced{}, err
	}
	defer w.close()
	out, err := w.run(func() error { return w.copyFrom(from) })
	return out, fs.Wrap("copy", dst, err)
}

func (w *replacement) copyFrom(from int) error {
	to := int(w.tmp.Fd())
	if err := copyXattrs(procPath(from), procPath(to)); err != nil {
		return err
	}
	if unix.IoctlFileClone(to, from) == nil {
		return nil
	}
	var in, out int64
	for w.ctx.Err() == nil {
		n, err := unix.CopyFileRange(from, &in, to, &out, 64<<20, 0)
		switch {
		case is(err, unix.EINTR):
		case err != nil && out == 0:
			return w.fill(io.NewSectionReader(fdReader(from), 0, 1<<62))
		case err != nil || n == 0:
			return err
		}
	}
	return w.ctx.Err()
}

// fdReader reads a descriptor.
type fdReader int

func (f fdReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := unix.Pread(int(f), p, off)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}
