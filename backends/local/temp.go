package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	tempPrefix = ".~jd-"
	tempLen    = len(tempPrefix) + 16
	tempLog    = "temps" // in the state folder: paths of temporary files, each ended by NUL
	maxTempLog = 1 << 20
)

// isTemp reports whether a name is that of a temporary file.
func isTemp(name string) bool {
	if len(name) != tempLen || !strings.HasPrefix(name, tempPrefix) {
		return false
	}
	_, err := hex.DecodeString(name[len(tempPrefix):])
	return err == nil
}

// temps knows the temporary files of this process and writes down where they are, so that the next start can remove what a crash
// has left. Those of other processes are recognised by their lock.
type temps struct {
	mu     sync.Mutex // guards all below
	active map[string]bool
	log    *os.File // nil = nowhere
	size   int64
}

func (t *temps) isActive(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.active[name]
}

// begin writes down that a temporary file will be at p.
func (t *temps) begin(p string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active == nil {
		t.active = map[string]bool{}
	}
	t.active[path.Base(p)] = true
	if t.log == nil {
		return nil
	}
	n, err := t.log.WriteString(p + "\x00")
	t.size += int64(n)
	return err
}

// end tells that the file named name is gone. A long log is emptied when nothing is under way.
func (t *temps) end(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.active, name)
	if t.log != nil && t.size > maxTempLog && len(t.active) == 0 && t.log.Truncate(0) == nil {
		t.size = 0
	}
}

func (t *temps) close() error {
	if t.log == nil {
		return nil
	}
	return t.log.Close()
}

// cleanTemps removes what the last run has left, and opens the log for this one.
func (d *Drive) cleanTemps() error {
	name, ok := d.state.file(tempLog)
	if !ok || d.opts.ReadOnly {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fs.Wrap("open drive", name, err)
	}
	for p := range bytes.SplitSeq(b, []byte{0}) {
		at := fs.Path(p)
		if !isTemp(at.Base()) {
			continue
		}
		if fd, err := openPath(d.rootFd, string(at.Dir()), unix.O_PATH|unix.O_DIRECTORY); err == nil {
			d.cleanTemp(fd, at.Base())
			closeFd(fd)
		}
	}
	d.temps.log, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	return fs.Wrap("open drive", name, err)
}

// cleanTemp removes a temporary file that no process is writing. It reports whether it has.
func (d *Drive) cleanTemp(dir int, name string) bool {
	if d.opts.ReadOnly || d.temps.isActive(name) {
		return false
	}
	fd, err := openAt(dir, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer closeFd(fd)
	var st unix.Statx_t
	if statFd(fd, &st) != nil || !isFile(&st) || unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	return unix.Unlinkat(dir, name, 0) == nil
}

// clearTemps removes what crashes have left in the directory name, which looks empty to users. It reports whether there was any.
func (d *Drive) clearTemps(parent int, name string) (cleared bool) {
	fd, err := openAt(parent, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return false
	}
	defer closeFd(fd)
	names, err := readNames(context.Background(), fd)
	if err != nil {
		return false
	}
	for _, name := range names {
		if isTemp(name) && d.cleanTemp(fd, name) {
			cleared = true
		}
	}
	return cleared
}

// makeTemp makes a temporary file in the directory dir, whose path is given, and locks it. The caller ends it with temps.end.
func (d *Drive) makeTemp(dir int, dirPath string) (*os.File, string, error) {
	for range maxTries {
		var b [8]byte
		_, _ = rand.Read(b[:]) // documented never to fail
		name := tempPrefix + hex.EncodeToString(b[:])
		if err := d.temps.begin(string(fs.Path(dirPath).Join(name))); err != nil {
			d.temps.end(name)
			return nil, "", err
		}
		fd, err := openAt(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600)
		if err != nil {
			d.temps.end(name)
			return nil, "", err
		}
		var st unix.Statx_t
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil && statFd(fd, &st) == nil && st.Nlink > 0 {
			return os.NewFile(uintptr(fd), name), name, nil
		}
		closeFd(fd) // another daemon took it for one that a crash has left
		d.temps.end(name)
	}
	return nil, "", unix.EBUSY
}
