// Command bench prints how our server does beside Jupyter's own, both measured in this run on this machine.
//
//	go run ./integration/bench
//
// Each figure is the median of several runs. Times are only comparable within a run; the last column is ours divided by Jupyter's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/reference"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// Sizes of what is measured.
const (
	repeats   = 10
	manyFiles = 10_000
	bigFile   = 200 << 20
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run makes the files, measures both servers and prints the table.
func run(ctx context.Context, out io.Writer) (err error) {
	box, err := sandbox.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	drive := filepath.Join(box.Home, "bench")
	if err := makeFiles(drive); err != nil {
		return err
	}
	binary, err := daemon.Build()
	if err != nil {
		return err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	ours, err := measure(ctx, func(ctx context.Context) (server, error) { return startOurs(ctx, drive) })
	if err != nil {
		return err
	}
	theirs, err := measure(ctx, func(ctx context.Context) (server, error) { return startTheirs(ctx, drive) })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-34s %14s %14s %8s\n", "median", "jupyter-drive", "jupyter lab", "ratio")
	for i, f := range ours {
		fmt.Fprintf(out, "%-34s %14s %14s %8.2f\n", f.name, f.show(), theirs[i].show(), f.value/theirs[i].value)
	}
	fmt.Fprintf(out, "%-34s %11.1f MB\n", "program, with the front end", float64(info.Size())/1e6)
	return nil
}

// makeFiles makes a folder of many small files and a big text file.
func makeFiles(drive string) error {
	many := filepath.Join(drive, "many")
	if err := os.MkdirAll(many, 0o755); err != nil {
		return err
	}
	for i := range manyFiles {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("file-%05d.txt", i)), []byte("x"), 0o644); err != nil {
			return err
		}
	}
	text := make([]byte, bigFile)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = "abcdefghijklmnopqrstuvwxyz \n"[random.IntN(28)]
	}
	return os.WriteFile(filepath.Join(drive, "big.txt"), text, 0o644)
}

// server is a running server of either kind.
type server struct {
	url, token string
	pid        int
	listening  time.Duration // from its start until it said where it is
	stop       func() error
}

func startOurs(ctx context.Context, drive string) (server, error) {
	box, err := sandbox.New()
	if err != nil {
		return server{}, err
	}
	start := time.Now()
	d, err := daemon.Start(ctx, daemon.Options{Drive: drive, Root: true, Box: box})
	if err != nil {
		return server{}, errors.Join(err, box.Close())
	}
	return server{d.URL, d.Token, d.PID, time.Since(start), func() error { return errors.Join(d.Stop(), box.Close()) }}, nil
}

func startTheirs(ctx context.Context, drive string) (server, error) {
	python := os.Getenv("JUPYTER_DRIVE_TEST_PYTHON")
	if python == "" {
		python = filepath.Join(sandbox.Module(), ".cache/venv/bin/python")
	}
	start := time.Now()
	s, err := reference.Start(ctx, reference.Options{Python: python, Dir: drive, Lab: true})
	if err != nil {
		return server{}, err
	}
	return server{s.URL, s.Token, s.PID, time.Since(start), s.Close}, nil
}

// figure is a measured value and its unit.
type figure struct {
	name  string
	value float64
	unit  string
}

func (f figure) show() string { return fmt.Sprintf("%.1f %s", f.value, f.unit) }

// measure starts a server several times for the figures about starting, and asks the last one for the others.
func measure(ctx context.Context, start func(context.Context) (server, error)) ([]figure, error) {
	var listen, page, memory, list, big []float64
	for i := range repeats {
		s, err := start(ctx)
		if err != nil {
			return nil, err
		}
		first, err := s.get(ctx, "lab")
		rss, rssErr := residentMB(s.pid)
		if err := errors.Join(err, rssErr); err != nil {
			return nil, errors.Join(err, s.stop())
		}
		listen = append(listen, milliseconds(s.listening))
		page = append(page, milliseconds(s.listening+first))
		memory = append(memory, rss)
		if i == repeats-1 {
			list, err = s.repeat(ctx, "api/contents/many?content=1")
			if err == nil {
				big, err = s.repeat(ctx, "api/contents/big.txt?content=1&format=text&type=file")
			}
		}
		if err := errors.Join(err, s.stop()); err != nil {
			return nil, err
		}
	}
	return []figure{
		{"start until it says where it is", median(listen), "ms"},
		{"start until the first page", median(page), "ms"},
		{"memory after the first page (RSS)", median(memory), "MB"},
		{"list " + strconv.Itoa(manyFiles) + " files", median(list), "ms"},
		{"200 MB of text as JSON", median(big), "ms"},
	}, nil
}

// repeat is how long each of several requests took.
func (s server) repeat(ctx context.Context, path string) ([]float64, error) {
	var times []float64
	for range repeats {
		took, err := s.get(ctx, path)
		if err != nil {
			return nil, err
		}
		times = append(times, milliseconds(took))
	}
	return times, nil
}

// get reads an answer to its end and returns how long that took.
func (s server) get(ctx context.Context, path string) (time.Duration, error) {
	start := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "token "+s.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET %s = %d", path, response.StatusCode)
	}
	return time.Since(start), nil
}

// residentMB is a process's memory in use.
func residentMB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d has no memory", pid)
	}
	kB, err := strconv.ParseFloat(fields[0], 64)
	return kB * 1024 / 1e6, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
