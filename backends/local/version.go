package local

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// maxVersions is how many files with a version of their own history are remembered.
const maxVersions = 32768

// versions knows files whose version is not simply what stat tells: those whose ctime moved without a change of the contents, and
// those whose contents changed without a move of ctime. Forgetting the former makes a version look new; the latter happens only
// where the file system's clock is coarse.
type versions struct {
	mu  sync.Mutex // guards all below
	now map[ident]history
	old map[ident]history // the generation before: dropped when now is full
}

// history is valid while the file has that ctime and size.
type history struct {
	ctime, size int64
	base        int64  // the ctime in the version
	count       uint32 // writes within one tick
}

// get returns what makes up the version of a file with that ctime and size.
func (v *versions) get(id ident, ctime, size int64) history {
	v.mu.Lock()
	defer v.mu.Unlock()
	h, ok := v.now[id]
	if !ok {
		h, ok = v.old[id]
	}
	if !ok || h.ctime != ctime || h.size != size {
		return history{ctime: ctime, size: size, base: ctime}
	}
	return h
}

func (v *versions) put(id ident, h history) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.now) >= maxVersions/2 {
		v.old, v.now = v.now, nil
	}
	if v.now == nil {
		v.now = map[ident]history{}
	}
	v.now[id] = h
}

// versionTable is where histories are kept from one run to the next, in the state folder. A crash loses them: then versions look
// new.
const versionTable = "versions"

// save writes down what a restart would forget.
func (v *versions) save(s *state) error {
	name, ok := s.file(versionTable)
	if !ok {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var b []byte
	for _, generation := range []map[ident]history{v.old, v.now} {
		for id, h := range generation {
			b = append(b, formatHistory(id, h)...)
		}
	}
	return writeFile(name, b)
}

// load reads what save wrote, and removes it: what is true only once is not read twice.
func (v *versions) load(s *state) error {
	name, ok := s.file(versionTable)
	if !ok {
		return nil
	}
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fs.Wrap("read versions", name, err)
	}
	for line := range strings.Lines(string(b)) {
		if id, h, ok := parseHistory(line); ok {
			v.put(id, h)
		}
	}
	return fs.Wrap("read versions", name, os.Remove(name))
}

func formatHistory(id ident, h history) string {
	return fmt.Sprintf("%x %x %x %x %x %x %x\n",
		id.dev, id.ino, uint64(id.btime), uint64(h.ctime), uint64(h.size), uint64(h.base), h.count)
}

// parseHistory reads what formatHistory wrote.
func parseHistory(line string) (ident, history, bool) {
	var f [7]uint64
	words := strings.Fields(line)
	if len(words) != len(f) {
		return ident{}, history{}, false
	}
	for i, s := range words {
		n, err := strconv.ParseUint(s, 16, 64)
		if err != nil {
			return ident{}, history{}, false
		}
		f[i] = n
	}
	return ident{f[0], f[1], int64(f[2])}, history{int64(f[3]), int64(f[4]), int64(f[5]), uint32(f[6])}, f[6] <= math.MaxUint32
}

// keep tells that what changed ctime from before to after was not the contents.
func (d *Drive) keep(before, after *unix.Statx_t) {
	if !isFile(after) || before.Size != after.Size || before.Ctime == after.Ctime {
		return
	}
	h := d.versions.get(d.ident(before), nanos(before.Ctime), int64(before.Size))
	h.ctime = nanos(after.Ctime)
	d.versions.put(d.ident(after), h)
}

// version returns the version of the file that st describes, "" for anything else. n is its node, or nil if nobody has it.
func (d *Drive) version(n *node, st *unix.Statx_t) fs.Version {
	if !isFile(st) {
		return ""
	}
	id := d.ident(st)
	h := d.versions.get(id, nanos(st.Ctime), int64(st.Size))
	if n != nil && n.collides(h) {
		h.count++
		d.versions.put(id, h)
	}
	return formatVersion(id, h)
}

// collides reports whether the node was written since its version was last told, without a move of ctime.
func (n *node) collides(h history) bool {
	dirty := n.dirty.Swap(false)
	n.mu.Lock()
	defer n.mu.Unlock()
	same := n.toldCtime == h.ctime && n.toldSize == h.size
	n.toldCtime, n.toldSize = h.ctime, h.size
	return dirty && same
}

func formatVersion(id ident, h history) fs.Version {
	var buf [112]byte
	b := strconv.AppendUint(buf[:0], id.dev, 36)
	b = strconv.AppendUint(append(b, '.'), id.ino, 36)
	b = strconv.AppendUint(append(b, '.'), uint64(id.btime), 36)
	b = strconv.AppendUint(append(b, '.'), uint64(h.base), 36)
	b = strconv.AppendUint(append(b, '.'), uint64(h.size), 36)
	if h.count > 0 {
		b = strconv.AppendUint(append(b, '.'), uint64(h.count), 36)
	}
	return fs.Version(b)
}
