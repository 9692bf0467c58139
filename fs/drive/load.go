package drive

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// load is the store being asked for all names of a directory, page by page. What has come can be used before it has ended. All is guarded
// by Drive.mu.
type load struct {
	names   []string        // in the store's order, and at the end those that are only known here; of a single page all, sorted
	seen    map[string]bool // names, until the end
	touched map[string]bool // names that were changed meanwhile, which the pages may not show
	more    chan struct{}   // closed, and replaced, when more is known
	ended   bool
	err     error // how it has ended
}

// errMoved says that a load came to nothing since the directory was moved meanwhile.
var errMoved = errors.New("the directory was moved while it was listed")

// List returns a snapshot, sorted by name. Only a directory that is just being listed, and has more names than a page, is in the store's
// order: its first names are there before the store has told the last.
func (x *dir) List(ctx context.Context) (fs.Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("list", "", err)
	}
	x.pin()
	l, err := x.ask()
	if err == nil && l != nil {
		err = x.excuse("", x.await(ctx, l, func() bool { return len(l.names) > 0 }))
	}
	if err != nil && !errors.Is(err, errMoved) {
		x.unpin()
		return nil, fs.Wrap("list", x.where(), err)
	}
	if l != nil {
		return &listing{x: x, load: l}, nil
	}
	x.d.mu.RLock()
	defer x.d.mu.RUnlock()
	return &listing{x: x, names: slices.Sorted(maps.Keys(x.children))}, nil
}

// listing is used by one goroutine at a time. The directory is pinned until it is closed.
type listing struct {
	x     *dir
	done  bool
	load  *load    // whose names these are; nil = names are all
	names []string // does not change
}

func (l *listing) At(ctx context.Context, i int) (fs.Entry, error) {
	if err := ctx.Err(); err != nil {
		return fs.Entry{}, fs.Wrap("list", "", err)
	}
	if i < 0 {
		return fs.Entry{}, io.EOF
	}
	if l.load != nil {
		if err := l.reach(ctx, i); err != nil {
			return fs.Entry{}, fs.Wrap("list", l.x.where(), err)
		}
	}
	l.x.d.mu.RLock()
	defer l.x.d.mu.RUnlock()
	names := l.names
	if l.load != nil {
		names = l.load.names
	}
	if i >= len(names) {
		return fs.Entry{}, io.EOF
	}
	n, ok := l.x.children[names[i]]
	if !ok {
		return fs.Entry{}, fail("list", names[i], fs.NotExist)
	}
	return fs.Entry{Name: names[i], Node: n, Attr: statFor(ctx, n)}, nil
}

// reach waits until name i is known, or that there is none.
func (l *listing) reach(ctx context.Context, i int) error {
	err := l.x.await(ctx, l.load, func() bool { return i < len(l.load.names) })
	if errors.Is(err, errMoved) {
		return l.rest(ctx)
	}
	return l.x.excuse("", err)
}

// rest goes on in another way where a load has come to nothing: what the directory has then follows what was listed.
func (l *listing) rest(ctx context.Context) error {
	if err := l.x.fresh(ctx, ""); err != nil {
		return err
	}
	l.x.d.mu.RLock()
	defer l.x.d.mu.RUnlock()
	told := make(map[string]bool, len(l.load.names))
	for _, name := range l.load.names {
		told[name] = true
	}
	l.names = append(slices.Clone(l.load.names), l.x.others(told)...)
	l.load = nil
	return nil
}

func (l *listing) Close() error {
	if !l.done {
		l.done = true
		l.x.unpin()
	}
	return nil
}

// others returns the names of the directory that are not told, sorted. The caller holds Drive.mu.
func (x *dir) others(told map[string]bool) []string {
	var names []string
	for name := range x.children {
		if !told[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// fresh makes sure that the names of the directory are known as they were in the store not long ago, or name is, if it is given. Where
// the store cannot be reached, what is known serves: all names if they were ever listed, else the one that is asked for. The caller has
// pinned the directory.
func (x *dir) fresh(ctx context.Context, name string) error {
	for {
		l, err := x.ask()
		if l == nil {
			return err
		}
		err = x.await(ctx, l, func() bool { return name != "" && l.seen[name] && !l.touched[name] })
		if !errors.Is(err, errMoved) {
			return x.excuse(name, err)
		}
	}
}

// ask returns the load that is to be waited for, having begun it; nil if what is known is not old.
func (x *dir) ask() (*load, error) {
	x.restore()
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	switch {
	case x.isFresh():
		return nil, nil
	case x.loading != nil:
		return x.loading, nil
	case x.d.closed:
		return nil, &fs.Error{Op: "list", Kind: fs.Unavailable, Err: os.ErrClosed}
	}
	l := &load{seen: map[string]bool{}, touched: map[string]bool{}, more: make(chan struct{})}
	x.loading = l
	x.d.loads.Go(func() { x.load(l) })
	return l, nil
}

// await waits for enough to be known, which is asked with Drive.mu held, or for the load to end.
func (x *dir) await(ctx context.Context, l *load, enough func() bool) error {
	for {
		x.d.mu.RLock()
		known, ended, err, more := enough(), l.ended, l.err, l.more
		x.d.mu.RUnlock()
		switch {
		case known:
			return nil
		case ended:
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isFresh reports whether the store need not be asked. The caller holds Drive.mu.
func (x *dir) isFresh() bool {
	moved := x.m.get().moved
	switch {
	case !x.named(), !moved && x.isNew():
		return true
	case !x.complete:
		return false
	case x.d.isOffline():
		return true
	}
	return !moved && !x.isOld()
}

// isNew reports whether the directory was made or moved to where the store may have what belongs to another one, that was moved from there: what
// it has itself is all in the journal. The caller holds Drive.mu.
func (x *dir) isNew() bool {
	path, _ := x.path()
	_, moving := x.d.movingFrom(path)
	return moving
}

// isOld reports whether the store may have, or lack, names by now that the directory has not. The caller holds Drive.mu.
func (x *dir) isOld() bool { return !x.complete || time.Since(x.listed) >= x.d.opts.NamesTTL }

// adoptAll has the moved directory know all that the store has at its old place. Without the store it fails, also where what is known serves.
func (x *dir) adoptAll(ctx context.Context) error {
	if err := x.fresh(ctx, ""); err != nil || !x.isMoved() {
		return err
	}
	if _, why := x.d.reach.away(); why != nil {
		return why
	}
	return &fs.Error{Op: "list", Path: x.where(), Kind: fs.Busy, Hint: "it is asked again"}
}

// excuse forgives a failure to ask the store where something is known.
func (x *dir) excuse(name string, err error) error {
	if err == nil || !isUnreachable(err) {
		return err
	}
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	if x.complete || name != "" && x.known(name) != nil {
		return nil
	}
	return err
}

// isUnreachable reports whether an error says that the store could not be asked.
func isUnreachable(err error) bool {
	switch fs.KindOf(err) {
	case fs.Unavailable, fs.Timeout, fs.Throttled, fs.Credentials, fs.Busy:
		return true
	}
	return false
}

// load asks the store for page after page and works them in.
func (x *dir) load(l *load) {
	x.d.mu.RLock()
	key, _ := x.path()
	if m := x.m.get(); m.moved {
		key = m.origin
	}
	x.d.mu.RUnlock()
	var page fs.Page
	var err error
	marked, moved := false, x.isMoved()
	for more := true; more && err == nil; more = page.Next != "" {
		x.d.awaitEviction(x.d.ctx)
		asked := time.Now().UnixNano()
		if page, err = x.page(key, page.Next); err == nil {
			if marked = marked || page.Marked; page.Marked && moved {
				x.dress(key) // before the marker there goes
			}
			x.d.hidden.Add(int64(page.Hidden))
			err = x.merge(l, key, page, asked)
		}
	}
	if err != nil && isUnreachable(err) {
		x.restore()
	}
	if marked && err == nil {
		defer x.dress(key) // nobody waits for it
	}
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	if x.complete && !errors.Is(err, errMoved) {
		told := l.seen
		if len(l.names) == 0 {
			told = nil
		}
		l.names = append(l.names, x.others(told)...)
	}
	l.ended, l.err, l.seen = true, err, nil
	x.loading = nil
	close(l.more)
}

// page asks for a page of the listing of key: once, if what is known serves while the store is away.
func (x *dir) page(key, token string) (fs.Page, error) {
	if !x.d.isOffline() {
		page, err := x.d.page(x.d.ctx, key, token, x.d.look)
		if !isAway(err) || x.serves() {
			return page, err
		}
	}
	return x.d.page(x.d.ctx, key, token, x.d.ask)
}

// serves reports whether what is known of the directory serves while the store is away.
func (x *dir) serves() bool {
	x.restore()
	x.d.mu.RLock()
	defer x.d.mu.RUnlock()
	return x.complete
}

// page returns a part of what the store has directly in a directory. What is not there is empty: it is known here only, or has gone.
// request is ask or look.
func (d *Drive) page(ctx context.Context, key, token string, request func(context.Context, func(context.Context) error) error) (page fs.Page, err error) {
	err = request(ctx, func(ctx context.Context) (err error) {
		page, err = d.backend.List(ctx, key, fs.ListOptions{Token: token})
		return err
	})
	if err != nil && fs.KindOf(err) == fs.NotExist {
		return fs.Page{}, nil
	}
	return page, err
}

// list returns all that the store has directly in a directory.
func (d *Drive) list(ctx context.Context, key string) (all []fs.Info, err error) {
	var page fs.Page
	for more := true; more; more = page.Next != "" {
		if page, err = d.page(ctx, key, page.Next, d.ask); err != nil {
			return nil, err
		}
		all = append(all, page.Infos...)
	}
	return all, nil
}

// merge works in a page, which was asked for then, of the listing of key: the directory's own path, or where its children were before it
// was moved.
func (x *dir) merge(l *load, key string, page fs.Page, asked int64) error {
	infos, last := page.Infos, page.Next == ""
	return x.d.settle("list", key, func(t *tx) error {
		path, ok := x.path()
		moved := x.m.get().moved
		if from := x.m.get().origin; ok && (moved && from != key || !moved && path != key) {
			return errMoved
		}
		if !ok {
			return nil
		}
		names := make([]string, 0, len(infos))
		for i := range infos {
			name := strings.Clone(infos[i].Key[strings.LastIndexByte(infos[i].Key, '/')+1:]) // or it would keep all of the key
			if fs.CheckName(name) != nil || x.reserved(name) || l.touched[name] {
				continue
			}
			l.seen[name] = true
			if moved {
				t.adopt(x, name, &infos[i])
			} else {
				t.found(x, name, &infos[i], asked)
			}
			names = append(names, name)
		}
		if last {
			t.listed(x, l)
		}
		t.after = append(t.after, func() {
			if len(l.names) > 0 || !last {
				l.names = append(l.names, names...)
			}
			close(l.more)
			l.more = make(chan struct{})
		})
		return nil
	})
}

// listed works in that the store has told all names.
func (t *tx) listed(x *dir, l *load) {
	if x.m.get().moved {
		t.endMove(x)
	} else if x.regainAll(); x.complete || len(x.children) > len(l.seen) {
		t.missed(x, l)
	}
	t.after = append(t.after, func() {
		x.complete, x.replayed, x.listed = true, false, time.Now()
		t.d.keeper.keep(x)
	})
}

// missed removes the children that the store does not have any more.
func (t *tx) missed(x *dir, l *load) {
	for name, n := range x.children {
		if l.seen[name] || l.touched[name] || t.needed(n) {
			continue
		}
		t.vanish(x, name)
	}
}
