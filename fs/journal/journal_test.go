package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	noteType Type = iota + 1
	otherType
)

func testOptions() Options {
	return Options{Types: []Type{noteType, otherType}, SegmentSize: 8 << 10, Reserve: 1 << 10}
}

// reopen opens the journal and returns what it holds.
func reopen(t *testing.T, dir string, o Options) (*Journal, []string, error) {
	t.Helper()
	var got []string
	seq := uint64(0)
	j, err := Open(dir, o, func(r Record) error {
		if seq != 0 && r.Seq != seq+1 {
			t.Errorf("record %d comes after %d", r.Seq, seq)
		}
		seq = r.Seq
		got = append(got, string(r.Payload))
		return nil
	})
	if err == nil {
		t.Cleanup(func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return j, got, err
}

func mustOpen(t *testing.T, dir string, o Options) (*Journal, []string) {
	t.Helper()
	j, got, err := reopen(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return j, got
}

func note(i int) Entry {
	return Entry{Type: noteType, Payload: fmt.Appendf(nil, "note %d %s", i, strings.Repeat("x", i%97))}
}

func mustAppend(t *testing.T, j *Journal, entries ...Entry) {
	t.Helper()
	if _, err := j.Append(entries...); err != nil {
		t.Fatal(err)
	}
}

func wantNotes(t *testing.T, got []string, from, to int) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("%d records, want %d", len(got), to-from)
	}
	for i, g := range got {
		if want := string(note(from + i).Payload); g != want {
			t.Fatalf("record %d is %q, want %q", i, g, want)
		}
	}
}

func TestReplay(t *testing.T) {
	dir := t.TempDir()
	j, got := mustOpen(t, dir, testOptions())
	wantNotes(t, got, 0, 0)
	for i := range 1000 { // several segments
		if seq, err := j.Append(note(i)); err != nil || seq != uint64(i+1) {
			t.Fatalf("Append = %d, %v; want %d", seq, err, i+1)
		}
	}
	// Not closed: as after a kill.
	second, got := mustOpen(t, dir, testOptions())
	wantNotes(t, got, 0, 1000)
	if seq, err := second.Append(note(1000), note(1001)); err != nil || seq != 1002 {
		t.Fatalf("Append after reopening = %d, %v", seq, err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	_, got = mustOpen(t, dir, testOptions())
	wantNotes(t, got, 0, 1002)
}

func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, testOptions())
	for i := range 500 {
		mustAppend(t, j, note(i))
	}
	before := j.Size()
	if err := j.Checkpoint(func(write func(Entry) error) error { return errors.Join(write(note(0)), write(note(1))) }); err != nil {
		t.Fatal(err)
	}
	if j.Size() >= before {
		t.Errorf("size %d after a checkpoint, %d before", j.Size(), before)
	}
	mustAppend(t, j, note(2))
	second, got := mustOpen(t, dir, testOptions())
	wantNotes(t, got, 0, 3)
	if second.Size() != j.Size() {
		t.Errorf("size %d after reopening, want %d", second.Size(), j.Size())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v; want one segment", entries, err)
	}
}

func TestCheckpointThatFails(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, testOptions())
	mustAppend(t, j, note(0))
	oops := errors.New("oops")
	if err := j.Checkpoint(func(write func(Entry) error) error { return errors.Join(write(note(9)), oops) }); !errors.Is(err, oops) {
		t.Fatalf("Checkpoint = %v", err)
	}
	mustAppend(t, j, note(1))
	_, got := mustOpen(t, dir, testOptions())
	wantNotes(t, got, 0, 2)
}

// TestCheckpointCutShort leaves what a crash leaves at each stage of a checkpoint.
func TestCheckpointCutShort(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, testOptions())
	mustAppend(t, j, note(0))
	temp := filepath.Join(dir, segmentName(2)+tempSuffix)
	if err := os.WriteFile(temp, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, got := mustOpen(t, dir, testOptions())
	wantNotes(t, got, 0, 1)
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished segment is still there: %v", err)
	}
	old, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Checkpoint(func(write func(Entry) error) error { return write(note(5)) }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), old, 0o600); err != nil { // named, but the old one not removed yet
		t.Fatal(err)
	}
	_, got = mustOpen(t, dir, testOptions())
	wantNotes(t, got, 5, 6)
}

func TestUnknown(t *testing.T) {
	for name, frame := range map[string][]byte{
		"type":    appendFrame(nil, 1, Entry{Type: 77, Payload: []byte("new")}),
		"version": newerFrame(),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, _, err := newSegment(dir, 1, kindCheckpoint, 0, 1<<10, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.append(frame), s.file.Close()); err != nil {
				t.Fatal(err)
			}
			_, _, err = reopen(t, dir, testOptions())
			var e *fs.Error
			if !errors.As(err, &e) || e.Kind != fs.Unsupported || e.Hint == "" {
				t.Fatalf("Open = %v, want Unsupported with a hint", err)
			}
		})
	}
}

func newerFrame() []byte {
	b := appendFrame(nil, 1, note(0))
	b[lenSize+sumSize] = version + 1
	sum := checksum(b[:lenSize], b[lenSize+sumSize:])
	b[4], b[5], b[6], b[7] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return b
}

func TestRefused(t *testing.T) {
	j, _ := mustOpen(t, t.TempDir(), testOptions())
	if _, err := j.Append(Entry{Type: 0}); fs.KindOf(err) != fs.Invalid {
		t.Errorf("type 0: %v", err)
	}
	if _, err := j.Append(Entry{Type: noteType, Payload: make([]byte, MaxPayload+1)}); fs.KindOf(err) != fs.TooLarge {
		t.Errorf("a long payload: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(note(0)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestPayloadLongerThanASegment(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, testOptions())
	long := Entry{Type: noteType, Payload: bytes.Repeat([]byte("long"), 10_000)}
	mustAppend(t, j, note(0), long)
	mustAppend(t, j, note(1))
	_, got := mustOpen(t, dir, testOptions())
	if len(got) != 3 || got[1] != string(long.Payload) {
		t.Errorf("%d records", len(got))
	}
}

func TestSyncByManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, testOptions())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				if _, err := j.Append(note(w*50 + i)); err != nil {
					t.Error(err)
				}
				if err := j.Sync(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if err := j.Checkpoint(func(func(Entry) error) error { return nil }); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	_, _ = mustOpen(t, dir, testOptions())
}

func TestSyncCanceled(t *testing.T) {
	j, _ := mustOpen(t, t.TempDir(), testOptions())
	mustAppend(t, j, note(0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Either it was quick, or it says that it did not wait.
	if err := j.Sync(ctx); err != nil && fs.KindOf(err) != fs.Canceled {
		t.Errorf("Sync = %v", err)
	}
}

func TestBackgroundSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := mustOpen(t, t.TempDir(), testOptions())
		mustAppend(t, j, note(0))
		if j.synced() {
			t.Error("durable without a sync")
		}
		time.Sleep(DefaultSyncInterval)
		synctest.Wait()
		for !j.synced() { // the sync itself is a system call
			time.Sleep(time.Millisecond)
		}
	})
}

func (j *Journal) synced() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable == j.seq
}
