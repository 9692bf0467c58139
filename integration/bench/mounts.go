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
	"strings"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// program is something that mounts the bucket, or with no start the store's own client.
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
		{"raw SDK", nil},
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

// results are what each program made of each row, by their names.
type results map[string]map[string]cost

// compare runs all rows with all programs, or only with one, and prints them.
func (b *bucket) compare(ctx context.Context, only string) error {
	disk, err := timeOf(func() error { return readFile(b.plain) })
	if err != nil {
		return err
	}
	all := results{}
	for _, p := range programs() {
		if only != "" && p.name != only {
			continue
		}
		fmt.Printf("\n%-36s %9s %12s %12s  %s\n", p.name, "requests", "bytes", "time", "kinds")
		costs, err := b.measure(ctx, p)
		if errors.Is(err, errMissing) {
			fmt.Printf("%s is not installed: no column for it\n", p.name)
			continue
		}
		if err != nil {
			return err
		}
		all[p.name] = costs
	}
	if only == "" {
		all.print(disk)
	}
	return nil
}

// measure runs all rows with one program. A row that fails is told and does not end the others.
func (b *bucket) measure(ctx context.Context, p program) (costs map[string]cost, err error) {
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
	costs = map[string]cost{}
	for _, t := range tasks(newSDK(b.proxy.URL)) {
		do := func() error { return t.do(dir) }
		switch {
		case p.start == nil && t.plain == nil:
			continue
		case p.start == nil:
			do = func() error { return t.plain(ctx) }
		case t.cold:
			if err := end(); err != nil {
				return nil, err
			}
			if dir, stop, err = p.start(ctx, b); err != nil {
				return nil, err
			}
		}
		c := b.cost(ctx, t, do)
		costs[t.name] = c
		printCost(t.name, c)
	}
	return costs, nil
}

func printCost(name string, c cost) {
	if c.err != nil {
		fmt.Printf("%-36s failed: %v\n", name, c.err)
		return
	}
	var kinds []string
	for kind, n := range c.requests {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(kinds)
	fmt.Printf("%-36s %9d %12d %12v  %s\n", name, c.total(), c.bytes, c.time.Round(time.Millisecond), strings.Join(kinds, ", "))
}

// total is the number of requests of all kinds.
func (c cost) total() int {
	n := 0
	for _, k := range c.requests {
		n += k
	}
	return n
}

// print sets all programs beside each other, and names the rows in which another mount reads or lists with less. disk is how long the local disk takes
// for the big object.
func (all results) print(disk time.Duration) {
	fmt.Printf("\n%-34s", "requests, MB, seconds")
	for _, p := range programs() {
		fmt.Printf("%24s", p.name)
	}
	fmt.Println()
	rows := tasks(nil)
	for _, t := range rows {
		fmt.Printf("%-34s", t.name)
		for _, p := range programs() {
			c, ok := all[p.name][t.name]
			cell := "-"
			if ok && c.err != nil {
				cell = "failed"
			} else if ok {
				cell = fmt.Sprintf("%d %9.1f %7.2f", c.total(), float64(c.bytes)/1e6, c.time.Seconds())
			}
			fmt.Printf("%24s", cell)
		}
		fmt.Println()
	}
	ours, sdk := all[programs()[0].name], all["raw SDK"]
	fmt.Printf("\n%s: %.2f of the raw SDK's speed with 8 streams\n", rowCold, sdk[rowCold].time.Seconds()/ours[rowCold].time.Seconds())
	fmt.Printf("%s: %.2f of the local disk's speed\n", rowWarm, disk.Seconds()/ours[rowWarm].time.Seconds())
	for _, t := range rows {
		if t.reads {
			all.comparePeers(t.name)
		}
	}
}

// comparePeers tells where another mount takes less for a row than ours: fewer requests and no more bytes, or the other way round.
func (all results) comparePeers(row string) {
	mounts := slices.DeleteFunc(programs(), func(p program) bool { return p.start == nil })
	ours := all[mounts[0].name][row]
	for _, p := range mounts[1:] {
		c, ok := all[p.name][row]
		if !ok || c.err != nil {
			continue
		}
		if c.total() <= ours.total() && c.bytes <= ours.bytes && (c.total() < ours.total() || c.bytes < ours.bytes) {
			fmt.Printf("%s: %d requests and %d bytes, %s %d and %d\n", row, ours.total(), ours.bytes, p.name, c.total(), c.bytes)
		}
	}
}

// cost does a task and waits until the program has nothing left to send.
func (b *bucket) cost(ctx context.Context, t task, do func() error) cost {
	dropPages()
	rest := quietWrites
	if t.reads {
		rest = quietReads
	}
	if t.cold {
		b.quiet(ctx, quietWrites) // it has just been started
	}
	b.proxy.Reset()
	took, err := timeOf(do)
	b.quiet(ctx, rest)
	bytes := b.proxy.Bytes()
	return cost{time: took, requests: b.proxy.Counts(), bytes: bytes.Received + bytes.Sent, err: err}
}

// How long nothing passes until a program is taken to be done: uploads begin a second or two after a close.
const (
	quietReads  = time.Second
	quietWrites = 3 * time.Second
)

// quiet returns when nothing has passed for so long, or after a minute.
func (b *bucket) quiet(ctx context.Context, rest time.Duration) {
	last, since := -1, time.Now()
	for begin := time.Now(); time.Since(begin) < time.Minute && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		bytes := b.proxy.Bytes()
		now := b.proxy.Total() + int(bytes.Received+bytes.Sent)
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > rest {
			return
		}
	}
}

// dropPages makes the kernel forget what it knows of a mount's files, where it may: warm is then what the program has.
func dropPages() {
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0) // for root only; else the kernel's own cache answers
}

func timeOf(f func() error) (time.Duration, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin), err
}

func readFile(path string) error {
	dropPages()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}
