package bucketfaults

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// TestTwoMachines lets eight writers, four on each of two drives over one bucket, add lines to the same files at the same time. Each adds to
// what it read, so a version that is lost takes its lines along: every line that was acknowledged must be in the file or in a
// conflict copy of it, in whole, and the bucket alone must hold that.
func TestTwoMachines(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	for name, share := range map[string]float64{"calm": 0, "rough": 0.1} {
		t.Run(name, func(t *testing.T) {
			b := newBucket(t, server, faultproxy.Options{})
			drives := make([]*drive.Drive, 2)
			closers := make([]*closed, 2)
			for i := range drives {
				drives[i] = b.drive(newMachine(t), byte(i+1), t.TempDir(), func(o *drive.Options) {
					o.NamesTTL, o.ContentsTTL = time.Millisecond, time.Millisecond
				})
				closers[i] = closeLater(t, drives[i])
			}
			for i := range sharedFiles {
				if err := save(t.Context(), drives[0], fmt.Sprintf("f%d", i), ""); err != nil {
					t.Fatal(err)
				}
			}
			b.wait(drives[0])
			b.proxy.Break(chaos(5, share))
			acknowledged := map[string]bool{}
			for round := range count(6, 60) {
				addLines(t, drives, round, acknowledged)
				waitAll(t, b, drives)
			}
			conflicts := 0
			for i, d := range drives {
				conflicts += len(d.Status().Conflicts)
				closers[i].close(t)
			}
			b.proxy.Break(nil)
			fresh := b.drive(newMachine(t), 9, t.TempDir(), nil)
			closeLater(t, fresh)
			checkLines(t, fresh, acknowledged)
			t.Logf("%d lines acknowledged, %d conflicts", len(acknowledged), conflicts)
			if conflicts == 0 {
				t.Error("nothing was in conflict: the test proves nothing")
			}
		})
	}
}

// sharedFiles is how many files the writers share, linesEach how many lines each adds in a round.
const (
	sharedFiles = 3
	linesEach   = 3
)

// addLines lets all writers add their lines at once.
func addLines(t *testing.T, drives []*drive.Drive, round int, acknowledged map[string]bool) {
	t.Helper()
	var mu sync.Mutex // guards acknowledged
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range linesEach {
				line := fmt.Sprintf("writer %d round %d line %d.", w, round, i)
				if err := addLine(t.Context(), drives[w%2], fmt.Sprintf("f%d", (w/2+i)%sharedFiles), line); err != nil {
					t.Errorf("%s: %v", line, err)
					return
				}
				mu.Lock()
				acknowledged[line] = true
				mu.Unlock()
			}
		})
	}
	writers.Wait()
}

// addLine adds a line at the end of a file. A name that came to mean another node meanwhile is looked up again, as the kernel does.
func addLine(ctx context.Context, d fs.Drive, path, line string) error {
	for {
		n, err := lookup(ctx, d, path)
		var h fs.Handle
		if err == nil {
			h, err = n.Open(ctx, fs.OpenReadWrite|fs.OpenAppend)
		}
		if err != nil && fs.KindOf(err) == fs.Stale && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		_, err = contents(ctx, h)
		if err == nil {
			_, err = h.WriteAt(ctx, []byte(line+"\n"), 0)
		}
		err = errors.Join(err, h.Flush(ctx), h.Release(ctx))
		if err != nil && fs.KindOf(err) == fs.Stale && ctx.Err() == nil {
			continue // what was opened is gone from the store
		}
		return err
	}
}

// waitAll brings all drives up to date at the same time, so that they meet in the store.
func waitAll(t *testing.T, b *bucket, drives []*drive.Drive) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for _, d := range drives {
		all.Go(func() {
			if err := d.Wait(ctx); err != nil {
				t.Errorf("Wait() = %v; %+v", err, d.Status())
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.Fatalf("broken: %v", b.proxy.Broken())
	}
}

// checkLines looks for each line in the file that it was written to and in its conflict copies.
func checkLines(t *testing.T, d fs.Drive, acknowledged map[string]bool) {
	t.Helper()
	whole := regexp.MustCompile(`^writer \d+ round \d+ line \d+\.$`)
	all, err := names(t.Context(), d, "")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range all {
		data, err := text(t.Context(), d, e.Name)
		if err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		for line := range strings.Lines(data) {
			line = strings.TrimSuffix(line, "\n")
			found[line] = true
			if !whole.MatchString(line) {
				t.Errorf("%s has half a line: %q", e.Name, line)
			}
		}
	}
	lost := 0
	for line := range acknowledged {
		if !found[line] {
			lost++
			t.Logf("lost: %s", line)
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d lines are lost; the bucket has %d files", lost, len(acknowledged), len(all))
	}
}
