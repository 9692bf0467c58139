package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// notebookSaves are the ways in which notebooks are saved on a bucket.
var notebookSaves = []struct {
	file string
	save func(d *daemon.Daemon) save
	// Programs on one mount see what is written in place while it is.
	inPlace bool
}{
	{"api.ipynb", func(d *daemon.Daemon) save { return putNotebook(nil, d) }, false},
	{"rename.ipynb", byPath(func(m mounted, name string, text []byte) error {
		if err := m.put(name+".tmp", os.O_WRONLY|os.O_TRUNC, text, true); err != nil {
			return err
		}
		return os.Rename(m.path(name+".tmp"), m.path(name))
	}), false},
	{"place.ipynb", byPath(func(m mounted, name string, text []byte) error {
		return m.put(name, os.O_WRONLY|os.O_TRUNC, text, true)
	}), true},
}

func byPath(write func(m mounted, name string, text []byte) error) func(d *daemon.Daemon) save {
	return func(d *daemon.Daemon) save {
		m := mounted{d.Mount, device(os.Stat(d.Mount))}
		return func(_ context.Context, name string, version uint64) error {
			text, err := notebook(name, version)
			if err != nil {
				return err
			}
			return write(m, name, text)
		}
	}
}

// notebook is a version of a notebook as putNotebook saves it.
func notebook(name string, version uint64) ([]byte, error) {
	cells := make([]cell, notebookCells)
	for i := range cells {
		cells[i] = cell{"markdown", fmt.Sprint("c", i), map[string]any{}, line(name, version)}
	}
	return json.MarshalIndent(map[string]any{"cells": cells, "metadata": map[string]any{}, "nbformat": 4, "nbformat_minor": 5}, "", " ")
}

// versionOf returns which version a notebook is: it parses, and all its cells are of one version.
func versionOf(name string, text []byte) (version uint64, err error) {
	var doc struct{ Cells []cell }
	if err := json.Unmarshal(text, &doc); err != nil {
		return 0, err
	}
	if len(doc.Cells) != notebookCells {
		return 0, fmt.Errorf("it has %d cells", len(doc.Cells))
	}
	for _, c := range doc.Cells {
		source, list := c.Source.(string)
		if parts, ok := c.Source.([]any); !list && ok {
			source = strings.TrimSuffix(fmt.Sprintln(parts...), "\n")
		}
		var v uint64
		if _, err := fmt.Sscanf(source, name+" %d", &v); err != nil || version > 0 && v != version {
			return 0, fmt.Errorf("a cell of version %d has %q", version, source)
		}
		version = v
	}
	return version, nil
}

// TestPromiseNotebooksAlwaysParse saves notebooks on a bucket a hundred times each, by the API and by path, while readers of the same daemon
// and of another one on the same bucket read them all the time, by the API and by path: each time they read one version in whole, and never an
// older one than before.
func TestPromiseNotebooksAlwaysParse(t *testing.T) {
	t.Parallel()
	server := versitygw.Run(t, versitygw.Options{})
	var drives [2]*bucketdrive.Drive
	for i := range drives {
		drives[i] = bucketdrive.New(t, bucketdrive.Options{Server: server})
	}
	drives[0].Start(t)
	for _, n := range notebookSaves {
		if err := n.save(drives[0].Daemon)(t.Context(), n.file, 1); err != nil {
			t.Fatal(err)
		}
	}
	drives[0].Settle(t)
	drives[1].Start(t) // it finds them in its first listing
	const saves = 100
	stop, end := context.WithCancel(t.Context())
	defer end()
	var writers, readers sync.WaitGroup
	for _, n := range notebookSaves {
		for i, d := range drives {
			readers.Go(func() { readNotebook(stop, t, n.file, "the API", i > 0, readByAPI(context.Background(), d.Daemon)) })
			if i > 0 || !n.inPlace {
				readers.Go(func() { readNotebook(stop, t, n.file, "the mount", i > 0, readIn(d.Daemon.Mount)) })
			}
		}
		writers.Go(func() {
			save := n.save(drives[0].Daemon)
			for version := uint64(2); version <= saves+1; version++ {
				if err := save(context.Background(), n.file, version); err != nil {
					t.Errorf("%s, version %d: %v", n.file, version, err)
					return
				}
				pause := 20 * time.Millisecond
				if version%10 == 0 {
					pause = 1500 * time.Millisecond // what is saved more often is uploaded once
				}
				time.Sleep(pause)
			}
		})
	}
	writers.Wait()
	if s := drives[0].Settle(t); len(s.Errors) > 0 || len(s.Conflicts) > 0 {
		t.Errorf("status: %+v", s)
	}
	for _, n := range notebookSaves {
		awaitNotebook(t, filepath.Join(drives[1].Daemon.Mount, n.file), saves+1)
	}
	end()
	readers.Wait()
}

// awaitNotebook waits until the other daemon shows the last version.
func awaitNotebook(t *testing.T, path string, want uint64) {
	t.Helper()
	for deadline := time.Now().Add(contentsBound + lateness); ; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(path)
		var got uint64
		if err == nil {
			got, err = versionOf(filepath.Base(path), text)
		}
		if err == nil && got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s is version %d, %v, for the other daemon, want %d", path, got, err, want)
			return
		}
	}
}

// readNotebook reads a notebook over and over. other says that it is saved by another daemon: there the version that was opened may go from
// the store while it is read, which is told.
func readNotebook(stop context.Context, t *testing.T, name, way string, other bool, read func(string) ([]byte, error)) {
	t.Helper()
	var last uint64
	var reads, gone, versions int
	for stop.Err() == nil {
		text, err := read(name)
		if other && (errors.Is(err, syscall.ESTALE) || errors.Is(err, io.ErrUnexpectedEOF) || isMoved(err)) {
			gone++
			continue
		}
		var version uint64
		if err == nil {
			version, err = versionOf(name, text)
		}
		if err != nil || version < last {
			t.Errorf("%s, other daemon: %v, of %s after version %d: version %d of %d bytes, %v", way, other, name, last, version, len(text), err)
			return
		}
		reads++
		time.Sleep(5 * time.Millisecond) // leave others something of the machine
		if version > last {
			versions++
		}
		last = version
	}
	t.Logf("%s by %s, other daemon: %v: %d reads of %d versions, %d of a version that had gone", name, way, other, reads, versions, gone)
	if versions < 3 {
		t.Errorf("%s by %s, other daemon: %v: nothing was saved while it was read", name, way, other)
	}
}
