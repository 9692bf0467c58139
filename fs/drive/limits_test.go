package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// outage is a store that can be out of reach.
type outage struct {
	mu  sync.Mutex // guards err
	err error
}

func (o *outage) before(context.Context, mem.Request) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outage) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

var errOut = &fs.Error{Kind: fs.Unavailable, Err: errors.New("the cable is cut")}

// smallDisk returns a file system of its own with that many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills the disk of the staging files while the store is out of reach: writers are told so, nothing that was acknowledged
// is lost, and when the store is back the disk empties itself.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "4m")
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		o := Options{Backend: b, State: filepath.Join(disk, "state"), SegmentSize: 256 << 10}
		d := open(t, o)
		p := program{t, t.Context(), d}
		p.write("first", []byte("x"), false)
		p.must("Wait", d.Wait(p.ctx))
		store.set(errOut)
		saved := map[string][]byte{}
		full := 0
		for i := 0; full < 5 && i < 1000; i++ {
			name, data := fmt.Sprint("file ", i), noise(100<<10+i)
			err := save(p.ctx, d, name, data)
			switch {
			case err == nil:
				saved[name] = data
			case fs.KindOf(err) == fs.NoSpace:
				full++
			default:
				t.Fatalf("save = %v, want kind %q", err, fs.NoSpace)
			}
		}
		if full == 0 || len(saved) < 10 {
			t.Fatalf("%d files were saved, %d not", len(saved), full)
		}
		p.must("Close", d.Close(p.ctx))
		p.d = open(t, o)
		for name, data := range saved {
			if !bytes.Equal(p.read(name), data) {
				t.Errorf("%s is damaged", name)
			}
		}
		store.set(nil)
		time.Sleep(2 * time.Minute)
		p.must("Wait", p.d.Wait(p.ctx))
		synctest.Wait()
		if st := p.d.Status(); st.Staged > 0 || len(st.Conflicts) > 0 {
			t.Errorf("after all: %+v", st)
		}
		p.write("last", noise(1<<20), true)
		p.must("Wait", p.d.Wait(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, Options{Backend: b})
		for name, data := range saved {
			if !bytes.Equal(p.read(name), data) {
				t.Errorf("%s is damaged in the store", name)
			}
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// save is a save in place that may fail.
func save(ctx context.Context, d *Drive, name string, data []byte) error {
	_, h, err := d.Root().Create(ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenTruncate})
	if err != nil {
		return err
	}
	if _, err = h.WriteAt(ctx, data, 0); err == nil {
		err = h.Flush(ctx)
	}
	return errors.Join(err, h.Release(ctx))
}

// TestOffline reads what is known, writes, and catches up later; also when the drive was opened without a store.
func TestOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		b.Inject("theirs", []byte("theirs"), fs.WriteOptions{})
		b.Inject("unread", []byte("unread"), fs.WriteOptions{})
		b.Inject("dir/in", []byte("in"), fs.WriteOptions{})
		o := withCache(t, Options{Backend: b, State: memoryDir(t)})
		d := open(t, o)
		p := program{t, t.Context(), d}
		p.write("ours", []byte("ours"), false)
		p.must("Wait", d.Wait(p.ctx))
		p.read("theirs")
		store.set(errOut)
		time.Sleep(time.Hour)
		for _, name := range []string{"ours", "theirs"} {
			if got := string(p.read(name)); got != name {
				t.Errorf("%s reads %q", name, got)
			}
		}
		if _, err := textOf(p.ctx, d, "unread"); fs.KindOf(err) != fs.Unavailable {
			t.Errorf("reading what is not here = %v", err)
		}
		if _, err := listOf(p.ctx, d, "dir"); fs.KindOf(err) != fs.Unavailable {
			t.Errorf("listing what was never listed = %v", err)
		}
		p.write("new", []byte("new"), true)
		p.rename("theirs", "moved")
		p.must("Close", d.Close(p.ctx))
		d = open(t, o)
		p.d = d
		if got := string(p.read("new")); got != "new" {
			t.Errorf("new reads %q after a restart without a store", got)
		}
		if d.Status().Away == nil && d.Status().Pending == 0 {
			t.Errorf("Status() = %+v", d.Status())
		}
		store.set(nil)
		time.Sleep(time.Hour)
		p.must("Wait", d.Wait(p.ctx))
		got, err := treeOf(p.ctx, d)
		want := tree{"ours": "ours", "moved": "theirs", "unread": "unread", "dir/": "", "dir/in": "in", "new": "new"}
		if err != nil || got.String() != want.String() {
			t.Errorf("there is\n%s%v\nwant\n%s", got, err, want)
		}
		p.must("Close", d.Close(p.ctx))
	})
}

// TestCloseUpload waits for the store when a file is closed, and tells why it does not take it.
func TestCloseUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		d := open(t, Options{Backend: b, Close: CloseUpload})
		p := program{t, t.Context(), d}
		p.write("f", []byte("text"), false)
		if info, err := b.Stat(p.ctx, "f"); err != nil || info.Size != 4 {
			t.Errorf("after close the store has %+v, %v", info, err)
		}
		p.write("empty", nil, false)
		if info, err := b.Stat(p.ctx, "empty"); err != nil || info.Size != 0 {
			t.Errorf("after close the store has %+v, %v", info, err)
		}
		store.set(&fs.Error{Kind: fs.Permission})
		if err := save(p.ctx, d, "g", []byte("x")); fs.KindOf(err) != fs.Permission {
			t.Errorf("close = %v, want the store's error", err)
		}
		store.set(nil)
		time.Sleep(time.Hour)
		p.must("Wait", d.Wait(p.ctx))
		p.must("Close", d.Close(p.ctx))
	})
}

// TestLocalPatterns keeps some names from the store, until they get another.
func TestLocalPatterns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		o := Options{Backend: b, State: memoryDir(t), LocalPatterns: []string{"*.swp", "node_modules"}}
		d := open(t, o)
		p := program{t, t.Context(), d}
		_, err := d.Root().Mkdir(p.ctx, "node_modules", fs.CreateOptions{Mode: 0o755})
		p.must("mkdir", err)
		p.write("node_modules/a", []byte("a"), true)
		p.write(".f.swp", []byte("swap"), true)
		p.write("f", []byte("f"), true)
		p.must("Wait", d.Wait(p.ctx))
		want := func(keys ...string) {
			t.Helper()
			alone := open(t, Options{Backend: b})
			got, err := treeOf(p.ctx, alone)
			p.must("read the store", err)
			if len(got) != len(keys) {
				t.Errorf("the store has\n%swant %q", got, keys)
			}
			p.must("Close", alone.Close(p.ctx))
		}
		want("f")
		if st := d.Status(); st.LocalOnly != 2 || st.Pending != 0 {
			t.Errorf("Status() = %+v, want 2 local files", st)
		}
		p.must("Close", d.Close(p.ctx))
		d = open(t, o)
		p.d = d
		time.Sleep(time.Hour)
		got, err := treeOf(p.ctx, d)
		if err != nil || len(got) != 4 || got[".f.swp"] != "swap" {
			t.Errorf("after a restart:\n%s%v", got, err)
		}
		p.rename(".f.swp", "g")
		p.rename("node_modules", "modules")
		p.must("Wait", d.Wait(p.ctx))
		want("f", "g", "modules/", "modules/a")
		p.must("Close", d.Close(p.ctx))
	})
}

// TestBackPressure holds writers when more is staged than the limit, until the store has taken some.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		d := open(t, Options{Backend: b, DirtyLimit: 1 << 20})
		p := program{t, t.Context(), d}
		for i := range 40 { // ten times the limit passes through while the store takes it
			p.write(fmt.Sprint("file ", i), noise(256<<10), false)
		}
		store.set(errOut)
		var err error
		for i := 0; err == nil && i < 100; i++ {
			err = save(p.ctx, d, fmt.Sprint("more ", i), noise(256<<10))
		}
		if fs.KindOf(err) != fs.NoSpace {
			t.Errorf("writing without a store ends with %v", err)
		}
		if st := d.Status(); st.Staged > 2<<20 {
			t.Errorf("%d bytes are staged", st.Staged)
		}
		store.set(nil)
		time.Sleep(time.Minute)
		p.must("Wait", d.Wait(p.ctx))
		p.must("Close", d.Close(p.ctx))
	})
}

// TestWarm fetches all, so that nothing is asked for later, and Fsck has nothing to say.
func TestWarm(t *testing.T) {
	b := filled(20, 100<<10)
	d := open(t, withCache(t, Options{Backend: b}))
	p := program{t, t.Context(), d}
	got, err := d.Warm(p.ctx, "data", nil)
	if err != nil || got.Files != 20 || got.Bytes < 20*100<<10 {
		t.Errorf("Warm() = %+v, %v", got, err)
	}
	b.ResetRequests()
	for i := range 20 {
		p.read(fmt.Sprintf("data/file %05d", i))
	}
	if n := b.Requests()["read"]; n > 0 {
		t.Errorf("%d reads after Warm", n)
	}
	found, n, err := d.Fsck(p.ctx, nil)
	if err != nil || len(found) > 0 || n.Files != 20 {
		t.Errorf("Fsck() = %v, %+v, %v", found, n, err)
	}
	p.must("Close", d.Close(p.ctx))
}

// TestXattrReplaced replaces an attribute that takes most of what a file may have of them.
func TestXattrReplaced(t *testing.T) {
	p := program{t, t.Context(), open(t, Options{Backend: mem.NewBackend(mem.BackendOptions{}), State: t.TempDir()})}
	p.write("f", []byte("data"), false)
	n, err := nodeAt(p.ctx, p.d, "f")
	p.must("lookup", err)
	x := n.(fs.Xattrer)
	for _, c := range []string{"a", "b"} {
		value := bytes.Repeat([]byte(c), maxXattrs*3/4)
		p.must("SetXattr", x.SetXattr(p.ctx, "user.a", value, false, false))
		if got, err := x.Xattr(p.ctx, "user.a"); err != nil || !bytes.Equal(got, value) {
			t.Errorf("Xattr() = %d bytes, %v", len(got), err)
		}
	}
	if err := x.SetXattr(p.ctx, "user.b", make([]byte, maxXattrs/2), false, false); fs.KindOf(err) != fs.NoSpace {
		t.Errorf("more than all may take = %v, want %q", err, fs.NoSpace)
	}
	p.must("Close", p.d.Close(p.ctx))
}
