// Command bench prints tables that set the built program beside Jupyter's own server, and its mount beside the plain folder, on this
// machine in one run.
//
//	go run ./integration/bench
//	go run ./integration/bench buckets [own | PROGRAM]
//	go run ./integration/bench million
//	go run ./integration/bench crdt
//
// The second form sets a bucket as a drive beside other programs that mount buckets: requests and bytes, counted before the server. First it
// sets reads of what is cached beside the local disk and beside go-fuse's loopback, and tells how soon saves are acknowledged; with own, no more.
// With the name of a program it runs only that. It ends with the third: a drive over a store of a million objects, and the memory that takes. The last sets our shared documents beside
// those of yjs and of pycrdt.
//
// Figures are medians of ten. Times of different runs or machines cannot be compared; ratios of one run can. Nothing is judged.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/reference"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// rounds is how many times each figure is taken.
const rounds = 10

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	bench := run
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "buckets":
			bench = benchStores
		case "million":
			bench = benchMillion
		case inUserNamespace:
			bench = func(ctx context.Context) error { return runAsUser(ctx, os.Args[2:]) }
		case handsOnMount:
			bench = func(ctx context.Context) error { return runHandsOn(ctx, os.Args[2:]) }
		case "crdt":
			bench = benchCRDT
		}
	}
	err := bench(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchStores prints what buckets and large stores take, or a part of it if there is a further argument.
func benchStores(ctx context.Context) error {
	if len(os.Args) > 2 {
		return runBuckets(ctx, os.Args[2])
	}
	return errors.Join(runBuckets(ctx, ""), benchMillion(ctx))
}

func run(ctx context.Context) (err error) {
	python, err := exec.LookPath("python")
	if err != nil {
		return fmt.Errorf("run it with: make bench: %w", err)
	}
	work, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	binary := filepath.Join(work, "jupyter-drive")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./cmd/jupyter-drive")
	build.Dir = sandbox.Module()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	fmt.Printf("%-36s %12.1f MB\n", "binary", float64(info.Size())/1e6)
	if err := benchStarts(ctx, binary, python); err != nil {
		return err
	}
	drive := filepath.Join(work, "drive")
	if err := fill(drive); err != nil {
		return err
	}
	return benchServers(ctx, binary, python, drive)
}

// times calls f once for each round and returns the median of how long it took.
func times(f func() error) (time.Duration, error) {
	var all []time.Duration
	for range rounds {
		begin := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(begin))
	}
	return median(all), nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// row prints two times and their ratio.
func row(name string, ours, theirs time.Duration) {
	fmt.Printf("%-36s %15v %15v %8.2f\n", name, ours.Round(10*time.Microsecond), theirs.Round(10*time.Microsecond), float64(ours)/float64(theirs))
}

// benchStarts measures from the start of the process.
func benchStarts(ctx context.Context, binary, python string) error {
	var listen, page, lab []time.Duration
	for range rounds {
		a, b, err := startOurs(ctx, binary)
		if err != nil {
			return err
		}
		listen, page = append(listen, a), append(page, b)
		c, err := startTheirs(ctx, python)
		if err != nil {
			return err
		}
		lab = append(lab, c)
	}
	fmt.Printf("%-36s %15v\n", "start to mounted and listening", median(listen).Round(10*time.Microsecond))
	fmt.Printf("\n%-36s %15s %15s %8s\n", "", "ours", "jupyter", "ratio")
	row("start to first page of JupyterLab", median(page), median(lab))
	return nil
}

// startOurs starts the program in a new home until it prints its address, and until it has answered with a page.
func startOurs(ctx context.Context, binary string) (listen, page time.Duration, err error) {
	box, err := sandbox.New()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	cmd := exec.CommandContext(ctx, binary, "up", "--no-browser", "--listen", "127.0.0.1:0", "--mount", filepath.Join(box.Home, "mnt"))
	cmd.Env, cmd.Dir = box.Env(), box.Home
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	link, err := bufio.NewReader(stdout).ReadString('\n')
	listen = time.Since(begin)
	if err == nil {
		before, token, _ := strings.Cut(strings.TrimSpace(link), "lab?token=")
		page, err = firstPage(ctx, client.Client{URL: before, Token: token}, begin)
	}
	return listen, page, errors.Join(err, cmd.Process.Signal(os.Interrupt), cmd.Wait())
}

func startTheirs(ctx context.Context, python string) (page time.Duration, err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	begin := time.Now()
	s, err := reference.Start(ctx, reference.Options{Python: python, Dir: dir, Lab: true})
	if err != nil {
		return 0, err
	}
	page, err = firstPage(ctx, client.Client{URL: s.URL, Token: s.Token}, begin)
	return page, errors.Join(err, s.Close())
}

func firstPage(ctx context.Context, c client.Client, begin time.Time) (time.Duration, error) {
	answer, err := c.Do(ctx, http.MethodGet, "lab", nil)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("GET %slab = %d", c.URL, answer.Status)
	}
	return time.Since(begin), err
}

// Sizes of what is listed and read.
const (
	manyFiles = 10_000
	bigFile   = 200 << 20
)

// fill makes a drive with a folder of many files and one big file of text.
func fill(drive string) error {
	many := filepath.Join(drive, "many")
	if err := os.MkdirAll(many, 0o755); err != nil {
		return err
	}
	for i := range manyFiles {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("file-%05d.txt", i)), []byte("text"), 0o644); err != nil {
			return err
		}
	}
	line := "a line of sixty-four bytes, with \"quotes\" that have to be escaped\n"
	return os.WriteFile(filepath.Join(drive, "big.txt"), []byte(strings.Repeat(line, bigFile/len(line))), 0o644)
}

// benchServers compares running servers on one drive.
func benchServers(ctx context.Context, binary, python, drive string) (err error) {
	box, err := sandbox.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	d, err := daemon.Start(ctx, daemon.Options{Drive: drive, Root: true, Box: box, Binary: binary, Python: python})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	s, err := reference.Start(ctx, reference.Options{Python: python, Dir: drive})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Printf("%-36s %12.1f MB %12.1f MB\n", "idle memory (RSS)", residentMB(d.PID), residentMB(s.PID))
	ours, theirs := client.Client{URL: d.URL, Token: d.Token}, client.Client{URL: s.URL, Token: s.Token}
	for _, request := range []struct{ name, path string }{
		{"list of 10,000 files", "api/contents/many"},
		{"200 MB of text as JSON", "api/contents/big.txt?type=file&format=text"},
	} {
		if err := compare(request.name, ours, theirs, func(c client.Client) error { return get(ctx, c, request.path) }); err != nil {
			return err
		}
	}
	if err := benchKernels(ctx, ours, theirs); err != nil {
		return err
	}
	return benchMount(d.Mount, drive)
}

// compare prints how long f takes with either server.
func compare(name string, ours, theirs client.Client, f func(client.Client) error) error {
	a, err := times(func() error { return f(ours) })
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b, err := times(func() error { return f(theirs) })
	if err != nil {
		return fmt.Errorf("%s, reference: %w", name, err)
	}
	row(name, a, b)
	return nil
}

func get(ctx context.Context, c client.Client, path string) error {
	answer, err := c.Do(ctx, http.MethodGet, path, nil)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("GET %s = %d", path, answer.Status)
	}
	return err
}

// benchKernels measures round trips of messages with a Python kernel under either server.
func benchKernels(ctx context.Context, ours, theirs client.Client) (err error) {
	kernels := map[string]*client.Kernel{}
	for _, c := range []client.Client{ours, theirs} {
		id, err := c.StartSession(ctx, "bench.ipynb", "python3")
		if err != nil {
			return err
		}
		kernel, err := c.Dial(ctx, id)
		if err != nil {
			return err
		}
		defer kernel.Close()
		if _, err := kernel.Request(ctx, "execute_request", client.Execute("1")); err != nil {
			return err
		}
		kernels[c.URL] = kernel
	}
	return compare("execute, to reply and idle", ours, theirs, func(c client.Client) error {
		_, err := kernels[c.URL].Request(ctx, "execute_request", client.Execute("1"))
		return err
	})
}

// residentMB is a process's resident memory.
func residentMB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	var size, resident int
	if err == nil {
		_, err = fmt.Sscan(string(text), &size, &resident)
	}
	if err != nil {
		return 0 // the process is gone, which the next request tells
	}
	return float64(resident*os.Getpagesize()) / 1e6
}

// benchMount measures work on files in the mount and in the folder itself.
func benchMount(mount, folder string) error {
	fmt.Printf("\n%-36s %15s %15s %8s\n", "", "mount", "folder", "ratio")
	for _, op := range []struct {
		name string
		do   func(dir string) error
	}{
		{"read 200 MB", func(dir string) error { _, err := os.ReadFile(filepath.Join(dir, "big.txt")); return err }},
		{"stat 10,000 files", statMany},
		{"create and remove 1,000 files", createMany},
	} {
		a, err := times(func() error { return op.do(mount) })
		if err != nil {
			return err
		}
		b, err := times(func() error { return op.do(folder) })
		if err != nil {
			return err
		}
		row(op.name, a, b)
	}
	return nil
}

func statMany(dir string) error {
	for i := range manyFiles {
		if _, err := os.Stat(filepath.Join(dir, "many", fmt.Sprintf("file-%05d.txt", i))); err != nil {
			return err
		}
	}
	return nil
}

func createMany(dir string) error {
	for i := range 1000 {
		path := filepath.Join(dir, fmt.Sprintf("new-%d", i))
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
