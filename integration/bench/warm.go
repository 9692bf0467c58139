package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of the rows below.
const (
	warmBound = 0.9                  // of the local disk's speed, by passthrough
	userBound = 0.8                  // of the speed of go-fuse's own loopback, without
	saveBound = 5 * time.Millisecond // until a save is acknowledged
)

// inUserNamespace is the argument with which this program runs itself as a user to whom the kernel gives no passthrough.
const inUserNamespace = "as-user"

// ownRows measure the built program's mount alone: what it brings from the store, what it has in its cache and its acknowledgements.
func (b *bucket) ownRows(ctx context.Context) error {
	return errors.Join(b.coldRows(ctx), b.cachedRows(ctx), b.userRows(ctx))
}

// cachedRows are those of what the drive has in its cache, and of its acknowledgements.
func (b *bucket) cachedRows(ctx context.Context) (err error) {
	dir, stop, err := startDrive(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := readBig(dir); err != nil { // into the cache
		return err
	}
	fmt.Printf("\n%-36s %15s %15s %8s\n", "read of 512 MiB that is cached", "mount", "local disk", "ratio")
	for _, cold := range []bool{true, false} {
		name := "passthrough, from memory"
		if cold {
			name = "passthrough, from the disk"
		}
		all, err := sideBySide(func() error { return readWarm(filepath.Join(dir, "big.bin"), cold, true) }, func() error { return readWarm(b.plain, cold, false) })
		if err != nil {
			return err
		}
		speedRow(name, all, warmBound)
	}
	for _, s := range []struct {
		name string
		save func(string, []byte) error
	}{{"save by rename", saveByRename}, {"save in place", saveInPlace}} {
		all, err := timesOfSaves(filepath.Join(dir, "timed.ipynb"), s.save)
		if err != nil {
			return err
		}
		slices.Sort(all)
		fmt.Printf("%-36s %15v %15v  median and slowest of %d until acknowledged (bound %v)\n", s.name, all[len(all)/2].Round(10*time.Microsecond),
			all[len(all)-1].Round(10*time.Microsecond), len(all), saveBound)
	}
	return nil
}

// pairs is how often two tasks are set beside each other.
const pairs = 15

// pair is how long two tasks took that were done one right after the other.
type pair struct{ ours, theirs time.Duration }

// sideBySide does two tasks in turn, each of them first every other time: what else runs on the machine meets both alike.
func sideBySide(ours, theirs func() error) ([]pair, error) {
	all := make([]pair, pairs)
	for i := range all {
		p, err := inTurn(i, func() (time.Duration, error) { return timeOf(ours) }, func() (time.Duration, error) { return timeOf(theirs) })
		if err != nil {
			return nil, err
		}
		all[i] = p
	}
	return all, nil
}

// inTurn takes two times, in round i.
func inTurn(i int, ours, theirs func() (time.Duration, error)) (pair, error) {
	first, second := ours, theirs
	if i%2 == 1 {
		first, second = theirs, ours
	}
	a, err := first()
	if err != nil {
		return pair{}, err
	}
	b, err := second()
	if i%2 == 1 {
		a, b = b, a
	}
	return pair{a, b}, err
}

// speedRow prints the medians of both, and that of the ratios.
func speedRow(name string, all []pair, bound float64) {
	var ours, theirs []time.Duration
	var ratios []float64
	for _, p := range all {
		ours, theirs = append(ours, p.ours), append(theirs, p.theirs)
		ratios = append(ratios, p.theirs.Seconds()/p.ours.Seconds())
	}
	slices.Sort(ratios)
	fmt.Printf("%-36s %15v %15v %8.2f  (%.2f to %.2f, bound %.1f)\n", name, median(ours).Round(time.Millisecond), median(theirs).Round(time.Millisecond),
		ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], bound)
}

// readWarm reads a file, from the disk if cold is set. In a mount the kernel has no pages under that name before, only of what lies below.
func readWarm(path string, cold, inMount bool) error {
	if cold {
		dropPages()
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if inMount {
		err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, make([]byte, 1<<20))
	}
	return errors.Join(err, f.Close())
}

// timesOfSaves saves as saveEach does and returns how long each took.
func timesOfSaves(path string, save func(string, []byte) error) ([]time.Duration, error) {
	data := make([]byte, saveSize)
	var all []time.Duration
	for n := range saves {
		copy(data, strconv.Itoa(n))
		took, err := timeOf(func() error { return save(path, data) })
		if err != nil {
			return nil, err
		}
		all = append(all, took)
		time.Sleep(time.Second/5 - took)
	}
	return all, nil
}

// userRows sets reads of cached files without passthrough beside go-fuse's own loopback over the same disk.
func (b *bucket) userRows(ctx context.Context) error {
	loopback := filepath.Join(b.work, "loopback")
	build := exec.CommandContext(ctx, "go", "build", "-o", loopback, "github.com/hanwen/go-fuse/v2/example/loopback")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building go-fuse's loopback: %w\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Root of a user namespace may mount, but hand no descriptors to the kernel: for it, it is an ordinary user.
	child := exec.CommandContext(ctx, self, inUserNamespace, b.work, b.proxy.URL, loopback)
	child.Env = append(os.Environ(), b.server.Env()...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := child.Run(); err != nil {
		fmt.Printf("%-36s skipped: %v\n", "without passthrough", err)
	}
	return nil
}

// runAsUser is what userRows runs, in a user namespace. The arguments are the folder of the work, the server and go-fuse's loopback.
func runAsUser(ctx context.Context, args []string) (err error) {
	work, endpoint, loopback := args[0], args[1], args[2]
	keys := slices.DeleteFunc(os.Environ(), func(v string) bool { return !strings.HasPrefix(v, "AWS_") })
	dir, stop, err := startBinary(ctx, filepath.Join(work, "jupyter-drive"), endpoint, keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := readBig(dir); err != nil { // into the cache
		return err
	}
	mnt := filepath.Join(work, "loopback.mnt")
	if err := os.MkdirAll(mnt, 0o755); err != nil {
		return err
	}
	end, err := startProcess(ctx, mnt, nil, loopback, mnt, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	all, err := sideBySide(func() error { return readWarm(filepath.Join(dir, "big.bin"), false, true) }, func() error { return readWarm(filepath.Join(mnt, "plain"), false, true) })
	if err != nil {
		return err
	}
	fmt.Printf("%-36s %15s %15s %8s\n", "", "mount", "loopback", "ratio")
	speedRow("no passthrough, from memory", all, userBound)
	return nil
}
