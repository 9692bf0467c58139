package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	xattrPrefix = "user.jupyter-drive."
	xattrID     = xattrPrefix + "id" // the document's id and the identity of the file that it was given to
	maxIDs      = 32768              // ids of files that are remembered
	idTable     = "ids"              // in the state folder, for files that cannot have xattrs
)

// ids knows the ids of documents: those in xattrs that were met, and those in the table.
type ids struct {
	mu    sync.Mutex          // guards all below
	now   map[ident]fs.FileID // met, a zero id for a file that has none
	old   map[ident]fs.FileID // the generation before: dropped when now is full
	table map[ident]fs.FileID // of files that cannot have xattrs
	log   *os.File            // where the table is kept; nil = nowhere
	give  sync.Mutex          // held while an id is given; before mu
}

// load reads the table.
func (t *ids) load(s *state) error {
	t.table = map[ident]fs.FileID{}
	name, ok := s.file(idTable)
	if !ok {
		return nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fs.Wrap("read ids", name, err)
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// A line that a crash has cut is no record; its file gets a new id.
		if id, who, ok := parseStoredID(lines.Text()); ok {
			t.table[who] = id
		}
	}
	t.log = f
	return fs.Wrap("read ids", name, lines.Err())
}

// get returns the id of a file if it is known, else a zero one.
func (t *ids) get(who ident) fs.FileID {
	id, _ := t.known(who)
	return id
}

// known returns the id of a file, and whether it is known to have one.
func (t *ids) known(who ident) (fs.FileID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.now[who]
	if !ok {
		id, ok = t.old[who]
	}
	if !ok {
		id = t.table[who]
	}
	return id, !id.IsZero()
}

func (t *ids) put(who ident, id fs.FileID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.now) >= maxIDs/2 {
		t.old, t.now = t.now, nil
	}
	if t.now == nil {
		t.now = map[ident]fs.FileID{}
	}
	t.now[who] = id
}

// enter puts an id into the table.
func (t *ids) enter(who ident, id fs.FileID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table[who] = id
	if t.log == nil {
		return nil
	}
	_, err := t.log.WriteString(formatID(id, who) + "\n")
	return err
}

// drop forgets a file that is gone: its identity may come again where there are no birth times.
func (t *ids) drop(who ident) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.now, who)
	delete(t.old, who)
	delete(t.table, who)
}

func (t *ids) close() error {
	if t.log == nil {
		return nil
	}
	return t.log.Close()
}

// formatID makes the value of the xattr: the id, and the device, inode number and birth time of the file that has it.
func formatID(id fs.FileID, who ident) string {
	return fmt.Sprintf("1 %s %x %x %x", id, who.dev, who.ino, uint64(who.btime))
}

// parseStoredID reads what formatID wrote.
func parseStoredID(s string) (fs.FileID, ident, bool) {
	f := strings.Split(s, " ")
	if len(f) != 5 || f[0] != "1" {
		return fs.FileID{}, ident{}, false
	}
	id, err := fs.ParseFileID(f[1])
	if err != nil || id.IsZero() {
		return fs.FileID{}, ident{}, false
	}
	var who [3]uint64
	for i, s := range f[2:] {
		if who[i], err = strconv.ParseUint(s, 16, 64); err != nil {
			return fs.FileID{}, ident{}, false
		}
	}
	return id, ident{dev: who[0], ino: who[1], btime: int64(who[2])}, true
}

// idOf returns the id that the open file fd has; a zero one if it has none.
func (d *Drive) idOf(fd int, who ident) fs.FileID {
	return d.storedID(who, func(buf []byte) (int, error) { return unix.Getxattr(procPath(fd), xattrID, buf) })
}

// idAt returns the id that the file at name, which is not followed, has; a zero one if it has none.
func (d *Drive) idAt(dir int, name string, who ident) fs.FileID {
	return d.storedID(who, func(buf []byte) (int, error) {
		return unix.Lgetxattr(procPath(dir)+"/"+name, xattrID, buf)
	})
}

// storedID returns the id of a file from what is known or from its xattr. That of another file is the mark of a copy, as cp -p
// makes it.
func (d *Drive) storedID(who ident, read func(buf []byte) (int, error)) fs.FileID {
	if id, ok := d.ids.known(who); ok {
		return id
	}
	var buf [128]byte
	size, err := read(buf[:])
	if err != nil {
		return fs.FileID{}
	}
	id, owner, ok := parseStoredID(string(buf[:size]))
	if !ok || owner != who {
		return fs.FileID{}
	}
	d.ids.put(who, id)
	return id
}

// setID gives the file that fd is the id. That changes ctime, not the version. st is renewed.
func (d *Drive) setID(fd int, id fs.FileID, st *unix.Statx_t) error {
	who, before := d.ident(st), *st
	err := error(unix.EROFS)
	if !d.opts.ReadOnly {
		err = unix.Setxattr(procPath(fd), xattrID, []byte(formatID(id, who)), 0)
	}
	if err != nil {
		// Links and special files have no user xattrs, other people's files refuse them, some file systems know none.
		if err := d.ids.enter(who, id); err != nil {
			return err
		}
	}
	d.ids.put(who, id)
	if err := statFd(fd, st); err != nil {
		return err
	}
	d.keep(&before, st)
	return nil
}

// disown takes the id from the file that fd is: it stays with a path that the file has lost, while the file has other names. n is its
// node, or nil if nobody has it.
func (d *Drive) disown(fd int, n *node) {
	var before, after unix.Statx_t
	if statFd(fd, &before) != nil {
		return
	}
	d.ids.drop(d.ident(&before))
	if err := unix.Removexattr(procPath(fd), xattrID); err != nil {
		return // it had none
	}
	if statFd(fd, &after) == nil {
		d.keep(&before, &after)
		if n != nil {
			d.restamp(n, &after)
		}
	}
}

// FileID returns the document's id, giving it one if it has none.
func (n *node) FileID(ctx context.Context) (fs.FileID, error) {
	if err := ctx.Err(); err != nil {
		return fs.FileID{}, fs.Wrap("file id", "", err)
	}
	if id, ok := n.d.ids.known(n.id); ok {
		return id, nil
	}
	var st unix.Statx_t
	fd, err := n.open("file id", unix.O_PATH, &st)
	if err != nil {
		return fs.FileID{}, err
	}
	defer closeFd(fd)
	unlock := n.lockPlace()
	defer unlock()
	n.d.ids.give.Lock()
	defer n.d.ids.give.Unlock()
	if id := n.d.idOf(fd, n.id); !id.IsZero() {
		return id, nil
	}
	if err := statFd(fd, &st); err != nil {
		return fs.FileID{}, fs.Wrap("file id", "", err)
	}
	told := n.wasTold(stampOf(&st)) || n.knownAs(stampOf(&st))
	id := fs.NewFileID()
	if err := n.d.setID(fd, id, &st); err != nil {
		return fs.FileID{}, fs.Wrap("file id", "", err)
	}
	if told {
		n.d.restamp(n, &st)
	}
	return id, nil
}

// inherit gives the file at name the id that its path had.
func (d *Drive) inherit(dir int, name string, n *node, id fs.FileID) {
	var st unix.Statx_t
	fd, err := openAt(dir, name, unix.O_PATH, 0)
	if err == nil {
		defer closeFd(fd)
		if err = statFd(fd, &st); err == nil && d.ident(&st) == n.id {
			err = d.setID(fd, id, &st)
		}
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		d.log.Warn("a document has lost its id", "drive", d.id.String(), "name", name, "err", err)
	}
}
