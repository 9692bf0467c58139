package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
)

// What a daemon may take when it reads large objects.
const (
	smallCache = 64 << 20
	mostMemory = 300 << 20
	largeFiles = 4
)

// largeSize is how large each is: several times the cache, or with JUPYTER_DRIVE_TEST_FULL what the promise says.
func largeSize() int64 {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		return 512 << 20
	}
	return 160 << 20
}

// TestLimitsOfReading reads four large objects at once, with a cache that holds a small part of one: the cache takes no more than its limit at
// any time, memory stays bounded, and the bytes are right; then a block from the middle of one, and the limit still holds.
func TestLimitsOfReading(t *testing.T) {
	b := bucketdrive.New(t, bucketdrive.Options{})
	b.Configure(t, fmt.Sprintf("[cache]\nsize = \"%dMiB\"\n", smallCache>>20))
	size := largeSize()
	for i := range largeFiles {
		if err := b.Put(t.Context(), largeName(i), io.LimitReader(largeBytes(i), size), size); err != nil {
			t.Fatal(err)
		}
	}
	b.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	most := make(chan int64)
	go func() { most <- mostTaken(ctx, filepath.Join(b.Opts.Box.Home, "cache")) }()
	var readers sync.WaitGroup
	for i := range largeFiles {
		readers.Go(func() {
			if err := sameAs(filepath.Join(b.Daemon.Mount, largeName(i)), 0, io.LimitReader(largeBytes(i), size)); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	block := largeBytes(0)
	if _, err := io.CopyN(io.Discard, block, size/2); err != nil {
		t.Fatal(err)
	}
	if err := sameAs(filepath.Join(b.Daemon.Mount, largeName(0)), size/2, io.LimitReader(block, 4096)); err != nil {
		t.Error(err)
	}
	stop()
	disk, memory := <-most, peakMemory(t, b.Daemon.PID)
	t.Logf("at most %d MiB on the disk and %d MiB of memory", disk>>20, memory>>20)
	if disk == 0 || disk > smallCache+smallCache/50 { // the file system's own trees of extents
		t.Errorf("the cache took %d bytes", disk)
	}
	if memory > mostMemory {
		t.Errorf("the daemon took %d bytes of memory", memory)
	}
	if err := b.Daemon.Stop(); err != nil {
		t.Error(err)
	}
}

func largeName(i int) string { return fmt.Sprintf("large-%d.bin", i) }

func largeBytes(i int) io.Reader { return rand.NewChaCha8([32]byte{byte(i)}) }

// sameAs compares a file from an offset on with what is expected there.
func sameAs(path string, off int64, want io.Reader) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return err
	}
	got, expected := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(want, expected)
		if n > 0 {
			if _, err := io.ReadFull(f, got[:n]); err != nil || !bytes.Equal(got[:n], expected[:n]) {
				return fmt.Errorf("%s: other bytes at %d: %w", filepath.Base(path), off, err)
			}
		}
		if err != nil {
			return nil // the end of what is expected
		}
		off += int64(n)
	}
}

// mostTaken returns what the files below a folder took on the disk at most, until ctx ends.
func mostTaken(ctx context.Context, dir string) (most int64) {
	for ctx.Err() == nil {
		n := int64(0)
		// The walk goes on past what has gone meanwhile, and has no error of its own.
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil { // else it is gone
					n += info.Sys().(*syscall.Stat_t).Blocks * 512
				}
			}
			return nil
		})
		most = max(most, n)
		time.Sleep(10 * time.Millisecond)
	}
	return most
}

// peakMemory returns the most memory that a process ever had.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatal("no VmHWM")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
