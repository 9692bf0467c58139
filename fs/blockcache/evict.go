package blockcache

import (
	"cmp"
	"container/list"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// budget is what the file system had to give when it was last asked. It is guarded by Cache.mu.
type budget struct {
	limit int64     // of the cache, so that MinFree stays free; 0 = not asked yet
	until int64     // bytes that may be taken before it is asked again
	asked time.Time // when it was; a refusal is not told for longer than refusedFor
}

// refusedFor is how long the cache refuses what the file system had no room for without asking again: others may have made room.
const refusedFor = time.Second

// askEvery is how many bytes are taken between two questions to the file system.
const askEvery = 16 << 20

// limit returns how many bytes the cache may have, of which some are about to be taken. The caller holds mu.
func (c *Cache) limit(taking int64) int64 {
	c.free.until -= taking
	if c.free.until <= 0 || c.used+taking > c.free.limit && time.Since(c.free.asked) >= refusedFor {
		c.free = budget{limit: c.affordable(), until: askEvery, asked: time.Now()}
	}
	return min(c.opts.Limit, c.free.limit)
}

// affordable asks the file system. The caller holds mu.
func (c *Cache) affordable() int64 {
	var st unix.Statfs_t
	if c.opts.MinFree < 0 || unix.Statfs(c.dir, &st) != nil {
		return c.opts.Limit
	}
	return max(c.used+int64(st.Bavail)*st.Bsize-c.opts.MinFree, 0)
}

// reserve takes bytes for an open entry, evicting others. It says false if there is no room.
func (c *Cache) reserve(e *entry, bytes int64) bool {
	if c.take(e, bytes) {
		return true
	}
	c.makeRoom(bytes)
	if c.take(e, bytes) {
		return true
	}
	c.counts.refused.Add(1)
	return false
}

func (c *Cache) take(e *entry, bytes int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used+bytes > c.limit(bytes) {
		return false
	}
	c.charge(e, bytes)
	return true
}

// giveBack returns bytes that were reserved or evicted.
func (c *Cache) giveBack(e *entry, bytes int64, evicted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.charge(e, -bytes)
	if evicted {
		c.evicted += bytes
	}
}

// diskFull notes that the disk had no room for what the limit allows.
func (c *Cache) diskFull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = budget{limit: c.used / 10 * 9, until: askEvery, asked: time.Now()}
}

// makeRoom evicts until bytes fit, and some more, so that it is not needed for each write. Closed files that were used once go first, then
// chunks of open files while these fill more than a fifth, then closed files that were used again, then any chunk.
func (c *Cache) makeRoom(bytes int64) {
	c.evicting.Lock()
	defer c.evicting.Unlock()
	c.mu.Lock()
	limit := c.limit(0)
	if c.used+bytes <= limit { // somebody else made room meanwhile
		c.mu.Unlock()
		return
	}
	target := max(min(limit/10*9, limit-bytes), 0)
	c.evictClosed(c.probation, target)
	excess := min(c.used-target, c.openBytes()-limit/5)
	c.mu.Unlock()
	if excess > 0 {
		c.evictChunks(excess)
	}
	c.mu.Lock()
	c.evictClosed(c.protected, target)
	excess = c.used - target
	c.mu.Unlock()
	if excess > 0 {
		c.evictChunks(excess)
	}
}

// evictClosed removes the oldest files of a list until no more than target bytes are used. The caller holds mu.
func (c *Cache) evictClosed(from *list.List, target int64) {
	for c.used > target && from.Len() > 0 {
		e := from.Back().Value.(*entry)
		c.evicted += e.bytes
		c.drop(e)
	}
}

// openBytes returns what open files take that are not pinned. The caller holds mu.
func (c *Cache) openBytes() int64 {
	var n int64
	for e := range c.open {
		if !e.fixed() {
			n += e.bytes
		}
	}
	return n
}

// fixed reports whether nothing of an open entry may be taken away. The caller holds mu.
func (e *entry) fixed() bool { return e.pins > 0 || e.lent }

// candidate is a chunk of an open file that may go.
type candidate struct {
	entry *entry
	data  *contents
	index int64
	fresh bool
	stamp uint64
}

// evictChunks punches chunks out of open files until it has freed bytes: those first that were read, and longest ago.
func (c *Cache) evictChunks(bytes int64) {
	for _, v := range c.candidates() {
		if bytes <= 0 {
			return
		}
		bytes -= c.evict(v)
	}
}

// evict punches one chunk, if its file is still open, and returns the bytes freed. The entry is held meanwhile, so that nobody counts anew
// what it takes.
func (c *Cache) evict(v candidate) int64 {
	if !c.hold(v.entry) {
		return 0
	}
	freed, err := v.data.evict(v.index)
	c.giveBack(v.entry, freed, true)
	if err := errors.Join(err, c.release(v.entry, false)); err != nil {
		c.opts.Logger.Warn("cannot free a part of the cache", "error", err)
	}
	return freed
}

// hold uses an entry if others do.
func (c *Cache) hold(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.refs == 0 {
		return false
	}
	e.refs++
	return true
}

func (c *Cache) candidates() []candidate {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []candidate
	for e := range c.open {
		if !e.fixed() {
			all = e.data.candidates(all, e)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.fresh != b.fresh {
			if a.fresh {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.stamp, b.stamp)
	})
	return all
}
