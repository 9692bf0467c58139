package blockcache

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	chunkUnits = 32
	chunkSize  = chunkUnits * Unit
	block      = 4 << 10 // in which a file system gives space
	chunkCost  = block   // of a chunk's part of the map
	fileCost   = block   // of the map's head
)

// state is what is known of a unit.
type state uint8

const (
	absent    state = iota
	unchecked       // present when the cache was opened
	present
)

// unit is 32 KiB of a file.
type unit struct {
	sum   uint32 // crc32c
	state state
}

// chunk is 1 MiB of a file of which something is present.
type chunk struct {
	units [chunkUnits]unit
	count int    // of those not absent
	fresh bool   // nothing of it was read yet
	stamp uint64 // of its last use
}

// contents are the two files of an entry that is open.
//
// Locks: Cache.mu, then mu, then state.
type contents struct {
	size  int64
	clock *atomic.Uint64 // of the cache: what was used later has a higher stamp

	// mu is held for reading while bytes are read or written, for writing while units are taken away. It guards closed and pinned too.
	mu     sync.RWMutex
	closed bool
	pinned bool

	state    sync.Mutex // guards what follows
	key      Key
	dataPath string
	mapPath  string
	orphaned bool // removed: nothing may be created under the paths any more
	lent     bool // whoever maps the file must not see holes made
	foreign  bool // the file has bytes that are not the key's: nothing is stored in it any more
	data     *os.File
	shown    *os.File // altered since it was handed out, data being a copy of how it was; nil = no such file
	maps     *os.File
	chunks   map[int64]*chunk
	count    int64 // of units not absent
}

// units returns how many units a file of that size has.
func units(size int64) int64 { return (size + Unit - 1) / Unit }

// unitSize returns the size in bytes of a unit.
func (c *contents) unitSize(u int64) int64 { return min(Unit, c.size-u*Unit) }

// unitCost returns what a unit takes on the disk.
func (c *contents) unitCost(u int64) int64 { return (c.unitSize(u) + block - 1) / block * block }

// cost returns what all takes on the disk.
func (c *contents) cost() int64 {
	c.state.Lock()
	defer c.state.Unlock()
	if c.maps == nil {
		return 0
	}
	cost := int64(fileCost)
	for i, ch := range c.chunks {
		cost += chunkCost
		for u, un := range ch.units {
			if un.state != absent {
				cost += c.unitCost(i*chunkUnits + int64(u))
			}
		}
	}
	return cost
}

func (c *contents) empty() bool {
	c.state.Lock()
	defer c.state.Unlock()
	return c.count == 0
}

func (c *contents) complete() bool {
	c.state.Lock()
	defer c.state.Unlock()
	return c.count == units(c.size)
}

// close closes the files and notes when they were used last. It returns the seal by which they are known again, if all was checked.
func (c *contents) close(now time.Time) (s seal, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.state.Lock()
	defer c.state.Unlock()
	if c.data != nil && c.allChecked() {
		s = sealOf(c.data)
	}
	if c.maps != nil {
		tv := unix.NsecToTimeval(now.UnixNano())
		err = unix.Futimes(int(c.maps.Fd()), []unix.Timeval{tv, tv})
	}
	for _, f := range []*os.File{c.data, c.shown, c.maps} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return s, err
}

// orphan keeps files from being made under a name that is no longer this one's.
func (c *contents) orphan() {
	c.state.Lock()
	defer c.state.Unlock()
	c.orphaned = true
}

// at returns the chunk and the unit with that number. The caller holds state.
func (c *contents) at(u int64) (*chunk, *unit) {
	ch := c.chunks[u/chunkUnits]
	if ch == nil {
		return nil, nil
	}
	return ch, &ch.units[u%chunkUnits]
}

// look says whether all units from first to last are present, and which of them must be checked first.
func (c *contents) look(first, last int64) (all bool, check []int64) {
	c.state.Lock()
	defer c.state.Unlock()
	for u := first; u <= last; u++ {
		ch, un := c.at(u)
		if un == nil || un.state == absent {
			return false, nil
		}
		if un.state == unchecked {
			check = append(check, u)
		}
		if now := c.clock.Load(); ch.fresh || ch.stamp != now {
			ch.fresh, ch.stamp = false, c.clock.Add(1)
		}
	}
	return true, check
}

// verify reads a unit and compares its checksum; it says whether the unit is good. The caller holds mu for reading.
func (c *contents) verify(u int64) bool {
	buf := make([]byte, c.unitSize(u))
	_, err := c.data.ReadAt(buf, u*Unit)
	sum := crc(buf)
	c.state.Lock()
	defer c.state.Unlock()
	_, un := c.at(u)
	if err != nil || un == nil || un.sum != sum {
		return false
	}
	if un.state == unchecked {
		un.state = present
	}
	return true
}

func crc(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// missing returns the units from first to last that are absent, as ranges of bytes.
func (c *contents) missing(first, last int64) []Range {
	c.state.Lock()
	defer c.state.Unlock()
	var all []Range
	for u := first; u <= last; u++ {
		if _, un := c.at(u); un != nil && un.state != absent {
			continue
		}
		off, size := u*Unit, c.unitSize(u)
		if n := len(all); n > 0 && all[n-1].Off+all[n-1].Len == off {
			all[n-1].Len += size
		} else {
			all = append(all, Range{off, size})
		}
	}
	return all
}

// price returns what it costs at most to make the units from first to last present.
func (c *contents) price(first, last int64) int64 {
	cost := fileCost + (last/chunkUnits-first/chunkUnits+1)*chunkCost
	for u := first; u <= last; u++ {
		cost += c.unitCost(u)
	}
	return cost
}

// create makes the files if there are none yet, and returns what that takes.
func (c *contents) create() (int64, error) {
	c.state.Lock()
	defer c.state.Unlock()
	if c.maps != nil {
		return 0, nil
	}
	data, err := c.createFile(c.dataPath)
	if err != nil {
		return 0, err
	}
	maps, err := c.createFile(c.mapPath)
	if err == nil {
		if err = errors.Join(data.Truncate(c.size), writeHead(maps, c.key, c.size)); err != nil {
			err = errors.Join(err, maps.Close())
		}
	}
	if err != nil {
		return 0, errors.Join(err, data.Close())
	}
	c.data, c.maps = data, maps
	return fileCost, nil
}

// createFile makes one of the files, without a name if the entry was removed. The caller holds state.
func (c *contents) createFile(path string) (*os.File, error) {
	dir := filepath.Dir(path)
	if c.orphaned {
		dir = filepath.Dir(filepath.Dir(filepath.Dir(path)))
		return os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// write stores bytes whose space is taken, and returns how much of it was needed. The caller holds mu for reading.
func (c *contents) write(p []byte, off int64) (int64, error) {
	cost, err := c.create()
	if err != nil {
		return 0, err
	}
	if c.spoiled() {
		return cost, &fs.Error{Kind: fs.NoSpace, Err: errNoRoom}
	}
	if _, err := c.data.WriteAt(p, off); err != nil {
		return cost, err
	}
	more, err := c.note(off/Unit, sumsOf(p))
	return cost + more, err
}

// sumsOf returns the checksums of the units that p is made of.
func sumsOf(p []byte) []uint32 {
	sums := make([]uint32, 0, units(int64(len(p))))
	for len(p) > 0 {
		n := min(Unit, len(p))
		sums = append(sums, crc(p[:n]))
		p = p[n:]
	}
	return sums
}

// note makes units present and returns what those take that were absent.
func (c *contents) note(first int64, sums []uint32) (int64, error) {
	c.state.Lock()
	defer c.state.Unlock()
	now := c.clock.Add(1)
	cost := int64(0)
	for i, sum := range sums {
		u := first + int64(i)
		ch, un := c.at(u)
		if ch == nil {
			ch = &chunk{}
			c.chunks[u/chunkUnits] = ch
			un = &ch.units[u%chunkUnits]
			cost += chunkCost
		}
		if un.state == absent {
			ch.count++
			c.count++
			ch.fresh = true
			cost += c.unitCost(u)
		}
		ch.stamp = now
		*un = unit{sum: sum, state: present}
	}
	return cost, c.save(first, first+int64(len(sums))-1)
}

// candidates adds the chunks that are there.
func (c *contents) candidates(all []candidate, e *entry) []candidate {
	c.state.Lock()
	defer c.state.Unlock()
	for i, ch := range c.chunks {
		all = append(all, candidate{entry: e, data: c, index: i, fresh: ch.fresh, stamp: ch.stamp})
	}
	return all
}

// evict takes away a chunk, unless the file was pinned meanwhile, and returns what that frees.
func (c *contents) evict(index int64) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinned || c.closed {
		return 0, nil
	}
	first := index * chunkUnits
	return c.take(first, min(first+chunkUnits, units(c.size))-1)
}

// take makes units of one chunk absent. The map tells so before the contents are gone. The caller holds mu.
func (c *contents) take(first, last int64) (int64, error) {
	c.state.Lock()
	defer c.state.Unlock()
	ch, _ := c.at(first)
	if ch == nil {
		return 0, nil
	}
	freed := int64(0)
	for u := first; u <= last; u++ {
		if un := &ch.units[u%chunkUnits]; un.state != absent {
			*un = unit{}
			ch.count--
			c.count--
			freed += c.unitCost(u)
		}
	}
	if ch.count == 0 {
		delete(c.chunks, first/chunkUnits)
		freed += chunkCost
	}
	err := c.save(first, last)
	if c.lent {
		return 0, err
	}
	if err2 := unix.Fallocate(int(c.data.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, first*Unit, (last-first+1)*Unit); err2 != nil {
		err = errors.Join(err, err2)
	}
	return freed, err
}

func (c *contents) name() string {
	c.state.Lock()
	defer c.state.Unlock()
	return c.key.Name
}

// uncheckedUnits returns the units to be checked, by chunk.
func (c *contents) uncheckedUnits() map[int64][]int64 {
	c.state.Lock()
	defer c.state.Unlock()
	all := make(map[int64][]int64)
	for i, ch := range c.chunks {
		for u, un := range ch.units {
			if un.state == unchecked {
				all[i] = append(all[i], i*chunkUnits+int64(u))
			}
		}
	}
	return all
}

// ready says whether all is present and checked.
func (c *contents) ready() bool {
	c.state.Lock()
	defer c.state.Unlock()
	return c.count == units(c.size) && c.data != nil && !c.foreign && c.shown == nil && c.allChecked()
}

// allChecked says whether what is present was checked. The caller holds state.
func (c *contents) allChecked() bool {
	for _, ch := range c.chunks {
		for _, un := range ch.units {
			if un.state == unchecked {
				return false
			}
		}
	}
	return true
}

func (c *contents) setPinned(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pinned = on
}

// reopen opens the contents for reading only.
func (c *contents) reopen() (*os.File, error) {
	c.state.Lock()
	defer c.state.Unlock()
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(c.data.Fd())))
}
