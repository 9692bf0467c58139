package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// program is something that mounts the bucket.
type program struct {
	name  string
	start func(ctx context.Context, b *bucket) (dir string, stop func() error, err error)
}

func programs() []program {
	return []program{
		{"jupyter-drive", startDrive},
		{"rclone full", func(ctx context.Context, b *bucket) (string, func() error, error) { return startRclone(ctx, b, "full") }},
		{"rclone off", func(ctx context.Context, b *bucket) (string, func() error, error) { return startRclone(ctx, b, "off") }},
		{"s3fs", startS3fs},
	}
}

// startDrive runs the built program with the bucket as its root.
func startDrive(ctx context.Context, b *bucket) (string, func() error, error) {
	return startBinary(ctx, b.binary, b.proxy.URL, b.server.Env())
}

func startBinary(ctx context.Context, binary, endpoint string, keys []string) (string, func() error, error) {
	box, err := sandbox.New()
	if err != nil {
		return "", nil, err
	}
	add := exec.CommandContext(ctx, binary, "drive", "add", "data", "s3://"+versitygw.Bucket, "--endpoint", endpoint, "--path-style", "--no-check")
	add.Env, add.Dir = append(box.Env(), keys...), box.Home
	if out, err := add.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("drive add: %w\n%s", err, out), box.Close())
	}
	d, err := daemon.Start(ctx, daemon.Options{Box: box, Binary: binary, Env: keys, Args: []string{"--root", "data"}})
	if err != nil {
		return "", nil, errors.Join(err, box.Close())
	}
	return d.Mount, func() error { return errors.Join(d.Stop(), box.Close()) }, nil
}

// errMissing says that a program is not installed.
var errMissing = errors.New("not installed")

// startProcess runs a program in the foreground until its folder is a mount.
func startProcess(ctx context.Context, dir string, env []string, name string, args ...string) (func() error, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, errMissing
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(withoutAWS(os.Environ()), env...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		unmount := exec.Command("fusermount3", "-u", "-z", dir).Run()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		_ = cmd.Wait() // how it ends is of no interest
		return unmount
	}
	for range 200 {
		if mounted(dir) {
			return stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("%s does not mount", name), cmd.Process.Kill(), cmd.Wait())
}

// withoutAWS leaves out what is meant for other buckets.
func withoutAWS(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "AWS_") })
}

func mounted(dir string) bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(text), " "+dir+" ")
}

// folders makes a mount point and a cache, which the returned function removes.
func (b *bucket) folders() (mount, cache string, remove func() error, err error) {
	base, err := os.MkdirTemp(b.work, "peer-")
	if err != nil {
		return "", "", nil, err
	}
	mount, cache = filepath.Join(base, "mnt"), filepath.Join(base, "cache")
	return mount, cache, func() error { return os.RemoveAll(base) }, errors.Join(os.Mkdir(mount, 0o755), os.Mkdir(cache, 0o755))
}

func startRclone(ctx context.Context, b *bucket, mode string) (string, func() error, error) {
	mount, cache, remove, err := b.folders()
	if err != nil {
		return "", nil, err
	}
	env := []string{
		"RCLONE_CONFIG=/dev/null", "RCLONE_CONFIG_B_TYPE=s3", "RCLONE_CONFIG_B_PROVIDER=Other", "RCLONE_CONFIG_B_ENDPOINT=" + b.proxy.URL,
		"RCLONE_CONFIG_B_ACCESS_KEY_ID=" + versitygw.AccessKey, "RCLONE_CONFIG_B_SECRET_ACCESS_KEY=" + versitygw.SecretKey,
		"RCLONE_CONFIG_B_REGION=" + versitygw.Region,
	}
	stop, err := startProcess(ctx, mount, env, "rclone", "mount", "b:"+versitygw.Bucket, mount, "--vfs-cache-mode", mode, "--cache-dir", cache, "--vfs-write-back", "1s")
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return mount, func() error { return errors.Join(stop(), remove()) }, nil
}

func startS3fs(ctx context.Context, b *bucket) (string, func() error, error) {
	mount, cache, remove, err := b.folders()
	if err != nil {
		return "", nil, err
	}
	env := []string{"AWSACCESSKEYID=" + versitygw.AccessKey, "AWSSECRETACCESSKEY=" + versitygw.SecretKey}
	stop, err := startProcess(ctx, mount, env, "s3fs", versitygw.Bucket, mount, "-f", "-o", "use_path_request_style,sigv4,url="+b.proxy.URL+",use_cache="+cache)
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return mount, func() error { return errors.Join(stop(), remove()) }, nil
}

// cost is what a row took.
type cost struct {
	time     time.Duration
	requests map[string]int
	bytes    int64 // received and sent
	err      error
}

// compare runs all rows with all programs and prints them.
func (b *bucket) compare(ctx context.Context) error {
	raw, err := b.rawRead(ctx)
	if err != nil {
		return err
	}
	disk, err := timeOf(func() error { return readFile(b.plain) })
	if err != nil {
		return err
	}
	fmt.Printf("%-36s %15v\n%-36s %15v\n", "512 MiB with 8 plain streams", raw.Round(time.Millisecond), "512 MiB from the local disk", disk.Round(time.Millisecond))
	for _, p := range programs() {
		fmt.Printf("\n%-36s %9s %12s %12s  %s\n", p.name, "requests", "bytes", "time", "kinds")
		if err := b.measure(ctx, p, raw, disk); err != nil {
			return err
		}
	}
	return nil
}

// measure runs all rows with one program. A row that fails is told and does not end the others.
func (b *bucket) measure(ctx context.Context, p program, raw, disk time.Duration) (err error) {
	var dir string
	var stop func() error
	end := func() error {
		if stop == nil {
			return nil
		}
		defer func() { stop = nil }()
		return stop()
	}
	defer func() { err = errors.Join(err, end()) }()
	for _, t := range tasks() {
		if t.cold {
			if err := end(); err != nil {
				return err
			}
			if dir, stop, err = p.start(ctx, b); err != nil {
				if errors.Is(err, errMissing) {
					fmt.Println("not installed")
					return nil
				}
				return err
			}
		}
		b.print(t, b.cost(ctx, t, dir), raw, disk)
	}
	return nil
}

func (b *bucket) print(t task, c cost, raw, disk time.Duration) {
	if c.err != nil {
		fmt.Printf("%-36s failed: %v\n", t.name, c.err)
		return
	}
	total := 0
	var kinds []string
	for kind, n := range c.requests {
		total += n
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(kinds)
	ratio := ""
	switch t.name {
	case "read of 512 MiB, cold":
		ratio = fmt.Sprintf("  %.2f of the plain streams", float64(raw)/float64(c.time))
	case "read of 512 MiB, warm":
		ratio = fmt.Sprintf("  %.2f of the local disk", float64(disk)/float64(c.time))
	}
	fmt.Printf("%-36s %9d %12d %12v  %s%s\n", t.name, total, c.bytes, c.time.Round(time.Millisecond), strings.Join(kinds, ", "), ratio)
}

// cost does a task and waits until the program has nothing left to send.
func (b *bucket) cost(ctx context.Context, t task, dir string) cost {
	dropPages(dir)
	b.quiet(ctx)
	b.proxy.Reset()
	took, err := timeOf(func() error { return t.do(dir) })
	b.quiet(ctx)
	bytes := b.proxy.Bytes()
	return cost{time: took, requests: b.proxy.Counts(), bytes: bytes.Received + bytes.Sent, err: err}
}

// quiet returns when nothing has passed for three seconds, or after a minute.
func (b *bucket) quiet(ctx context.Context) {
	last, since := -1, time.Now()
	for begin := time.Now(); time.Since(begin) < time.Minute && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		bytes := b.proxy.Bytes()
		now := b.proxy.Total() + int(bytes.Received+bytes.Sent)
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 3*time.Second {
			return
		}
	}
}

// dropPages makes the kernel forget what it knows of a mount's files, where it may: warm is then what the program has.
func dropPages(string) {
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0) // for root only; else the kernel's own cache answers
}

func timeOf(f func() error) (time.Duration, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin), err
}

func readFile(path string) error {
	dropPages(path)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}

// rawRead reads the big object through the proxy with eight streams of 8 MiB ranges.
func (b *bucket) rawRead(ctx context.Context) (time.Duration, error) {
	const part, streams = 8 << 20, 8
	return timeOf(func() error {
		var mu sync.Mutex
		var errs []error
		var workers sync.WaitGroup
		for s := range int64(streams) {
			workers.Go(func() {
				for off := s * part; off < bigObject; off += streams * part {
					if err := b.get(ctx, "big.bin", off, part); err != nil {
						mu.Lock()
						errs = append(errs, err)
						mu.Unlock()
						return
					}
				}
			})
		}
		workers.Wait()
		return errors.Join(errs...)
	})
}

func (b *bucket) get(ctx context.Context, key string, off, n int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.proxy.URL+"/"+versitygw.Bucket+"/"+key, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	response, err := b.proxy.Do(r)
	if err != nil {
		return err
	}
	got, err := io.Copy(io.Discard, response.Body)
	if err == nil && got != n {
		err = fmt.Errorf("GET %s: %s, %d bytes", key, response.Status, got)
	}
	return errors.Join(err, response.Body.Close())
}
