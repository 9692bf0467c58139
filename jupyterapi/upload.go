package jupyterapi

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// lastChunk is the number of the last part of an upload.
const lastChunk = -1

// maxUploads is how many uploads may be under way.
const maxUploads = 256

// uploads holds the files that arrive in parts. The parts are kept beside, so that nobody sees half a file, and become the file
// with the last one.
type uploads struct {
	dir string
	age time.Duration

	mu  sync.Mutex // guards all
	all map[uploadKey]*upload
}

// uploadKey is who uploads what: two people do not get into each other's way.
type uploadKey struct {
	who  string
	path fs.Path
}

type upload struct {
	mu    sync.Mutex // guards all below; held while a part is written
	file  *os.File
	next  int      // the number of the part that comes next
	last  [32]byte // SHA-256 of the part before, to know one that is sent again
	size  int64
	seen  time.Time
	ended bool
}

// init makes the folder and removes what an earlier run has left there. A folder that is there stays: a full disk may have no room for another.
func (u *uploads) init(state string, age time.Duration) error {
	u.dir, u.age, u.all = filepath.Join(state, "uploads"), age, map[uploadKey]*upload{}
	left, err := os.ReadDir(u.dir)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(u.dir, 0o700)
	}
	for _, e := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(u.dir, e.Name())))
	}
	return fs.Wrap("uploads", u.dir, err)
}

// begin starts an upload anew.
func (u *uploads) begin(k uploadKey) (*upload, error) {
	u.mu.Lock()
	old := u.all[k]
	delete(u.all, k)
	one, err := u.add(k)
	u.mu.Unlock()
	if old != nil {
		old.end()
	}
	return one, err
}

// add makes an upload. The caller holds mu.
func (u *uploads) add(k uploadKey) (*upload, error) {
	if len(u.all) >= maxUploads {
		return nil, &fs.Error{Op: "upload", Path: string(k.path), Kind: fs.Throttled, Err: errors.New("too many uploads are under way")}
	}
	f, err := os.CreateTemp(u.dir, "part-*")
	if err != nil {
		return nil, fs.Wrap("upload", string(k.path), err)
	}
	one := &upload{file: f, next: 1, seen: time.Now()}
	u.all[k] = one
	return one, nil
}

func (u *uploads) find(k uploadKey) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all[k]
}

// forget ends an upload.
func (u *uploads) forget(k uploadKey, one *upload) {
	u.mu.Lock()
	if u.all[k] == one {
		delete(u.all, k)
	}
	u.mu.Unlock()
	one.end()
}

// collect ends the uploads that stood still for too long.
func (u *uploads) collect(now time.Time) {
	u.endAll(func(one *upload) bool { return one.idle(now) > u.age })
}

func (u *uploads) close() {
	u.endAll(func(*upload) bool { return true })
}

// endAll ends the uploads for which over returns true. Others go on meanwhile: the end of one waits for its part under way.
func (u *uploads) endAll(over func(*upload) bool) {
	var list []*upload
	u.mu.Lock()
	for k, one := range u.all {
		if over(one) {
			delete(u.all, k)
			list = append(list, one)
		}
	}
	u.mu.Unlock()
	for _, one := range list {
		one.end()
	}
}

// idle returns how long no part has come; 0 while one is being written.
func (o *upload) idle(now time.Time) time.Duration {
	if !o.mu.TryLock() {
		return 0
	}
	defer o.mu.Unlock()
	return now.Sub(o.seen)
}

// end closes and removes the file. It may be called more than once; a part that is being written is waited for.
func (o *upload) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	o.ended = true
	// Nothing is lost with a file that nobody wants any more, and the folder is emptied at the next start.
	_ = o.file.Close()
	_ = os.Remove(o.file.Name())
}

// add writes a part. One that was sent again, because its answer was lost, is not written twice. The caller holds mu.
func (o *upload) add(chunk int, data []byte) error {
	sum := sha256.Sum256(data)
	switch {
	case o.ended:
		return failed(http.StatusConflict, "This upload has been started again")
	case chunk != lastChunk && chunk == o.next-1 && sum == o.last:
		return nil
	case chunk != lastChunk && chunk != o.next:
		return failed(http.StatusConflict, fmt.Sprintf("Part %d of the upload is expected, not %d", o.next, chunk))
	}
	if _, err := o.file.WriteAt(data, o.size); err != nil {
		return fs.Wrap("upload", "", err)
	}
	o.size += int64(len(data))
	o.next, o.last, o.seen = o.next+1, sum, time.Now()
	return nil
}

// upload answers a PUT with one part of a file.
func (c *call) upload(p fs.Path, r saveRequest, cond condition) error {
	if r.hasType && r.kind != fileType {
		return failed(http.StatusBadRequest, "File type \""+r.kind+"\" is not supported for large file transfer")
	}
	if r.chunk < lastChunk || r.chunk == 0 {
		return failed(http.StatusBadRequest, "Not a possible number of a part")
	}
	data, err := decodeContent(r)
	if err != nil {
		return err
	}
	key := uploadKey{c.caller.Principal.ID, p}
	one, status, err := c.findUpload(key, r.chunk)
	if err != nil {
		return err
	}
	one.mu.Lock()
	err = one.add(r.chunk, data)
	size := one.size
	if err == nil && r.chunk == lastChunk {
		var m model
		m, err = c.publishUpload(p, one, cond)
		one.mu.Unlock()
		c.s.uploads.forget(key, one)
		if err != nil {
			return err
		}
		return c.replyModel(http.StatusOK, m)
	}
	one.mu.Unlock()
	if err != nil {
		return err
	}
	return c.replyPart(p, status, size)
}

// findUpload returns the upload that a part belongs to. The first part starts it, if the file may be written.
func (c *call) findUpload(key uploadKey, chunk int) (*upload, int, error) {
	if chunk != 1 {
		one := c.s.uploads.find(key)
		if one == nil {
			return nil, 0, failed(http.StatusConflict, "Part 1 of the upload is missing")
		}
		return one, http.StatusOK, nil
	}
	if parent, there, err := c.exists(key.path.Dir()); err != nil || !there || parent.Attr.Type() != fs.Directory {
		if err != nil {
			return nil, 0, err
		}
		return nil, 0, failed(http.StatusNotFound, "No such directory: "+string(key.path.Dir()))
	}
	e, there, err := c.exists(key.path)
	switch {
	case err != nil:
		return nil, 0, err
	case there && e.Attr.Type() == fs.Directory:
		return nil, 0, failed(http.StatusBadRequest, "Cannot save a file over the directory "+string(key.path))
	}
	one, err := c.s.uploads.begin(key)
	if there {
		return one, http.StatusOK, err
	}
	return one, http.StatusCreated, err
}

// publishUpload makes the parts the file. The caller holds the upload's mu.
func (c *call) publishUpload(p fs.Path, one *upload, cond condition) (model, error) {
	m, err := c.replace(p, io.NewSectionReader(one.file, 0, one.size), cond)
	if err == nil {
		c.s.publishContents("upload", p, "")
	}
	return m, err
}

// replyPart answers with a model of the file that is not there yet.
func (c *call) replyPart(p fs.Path, status int, size int64) error {
	now := time.Now()
	m := model{path: p, kind: kindOf(p, fs.Attr{}), size: size, writable: true, mimetype: mimeOf(p.Base())}
	m.attr.Mtime, m.attr.Btime = now, now
	c.location("api/contents/" + string(p))
	m.headers(c)
	return c.replyJSON(status, m.append(nil))
}
