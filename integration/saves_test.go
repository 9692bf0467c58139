package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
)

// saveKinds are the ways in which programs save, each with a file of its own. check compares what a file holds after a kill with the
// version that was acknowledged last; the one under way may be there or not. aside reads another file of the same folder.
var saveKinds = []struct {
	file  string
	save  func(w *writers, d *daemon.Daemon) save
	check func(name string, text []byte, want uint64, aside func(name string) ([]byte, error)) error
}{
	{"put-0.txt", putText, whole},
	{"put-1.txt", putText, whole},
	{"put-0.ipynb", putNotebook, wholeNotebook},
	{"put-1.ipynb", putNotebook, wholeNotebook},
	{"chain.txt", putIfMatch, whole},
	{"rename.txt", inMount(renameDurable), whole},
	{"rename-close.txt", inMount(renameClosed), whole},
	{"place-fsync.txt", inMount(inPlace(true)), mixed},
	{"place-close.txt", inMount(inPlace(false)), mixed},
	{"jupyter.txt", inMount(asJupyter), wholeOrAside},
	{"append.txt", inMount(appendDurable), appended},
}

// putText saves as JupyterLab does.
func putText(_ *writers, d *daemon.Daemon) save {
	return func(ctx context.Context, name string, version uint64) error {
		_, err := put(ctx, d, name, "", map[string]any{"type": "file", "format": "text", "content": string(content(name, version))})
		return err
	}
}

// putIfMatch saves over the version that it has saved before, and over no other.
func putIfMatch(w *writers, d *daemon.Daemon) save {
	tag := ""
	return func(ctx context.Context, name string, version uint64) (err error) {
		tag, err = put(ctx, d, name, tag, map[string]any{"type": "file", "format": "text", "content": string(content(name, version))})
		var status statusError
		if errors.As(err, &status) && status == http.StatusPreconditionFailed {
			w.refused.Add(1)
		}
		return err
	}
}

// notebookCells is how many cells a notebook has that all name its version.
const notebookCells = 100

type cell struct {
	Type     string         `json:"cell_type"`
	ID       string         `json:"id"`
	Metadata map[string]any `json:"metadata"`
	Source   any            `json:"source"`
}

func putNotebook(_ *writers, d *daemon.Daemon) save {
	return func(ctx context.Context, name string, version uint64) error {
		cells := make([]cell, notebookCells)
		for i := range cells {
			cells[i] = cell{"markdown", fmt.Sprint("c", i), map[string]any{}, line(name, version)}
		}
		_, err := put(ctx, d, name, "", map[string]any{"type": "notebook", "format": "json", "content": map[string]any{
			"cells": cells, "metadata": map[string]any{}, "nbformat": 4, "nbformat_minor": 5,
		}})
		return err
	}
}

// statusError is the status of a save that was refused.
type statusError int

func (e statusError) Error() string { return fmt.Sprint("status ", int(e)) }

// put saves a file through the API, if it is at the version that tag names, and returns the tag of the new one.
func put(ctx context.Context, d *daemon.Daemon, name, tag string, model map[string]any) (string, error) {
	body, err := json.Marshal(model)
	if err != nil {
		return "", err
	}
	r, err := newRequest(ctx, d, http.MethodPut, "api/contents/"+name, body)
	if err != nil {
		return "", err
	}
	if tag != "" {
		r.Header.Set("If-Match", tag)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err == nil && response.StatusCode >= 300 {
		err = statusError(response.StatusCode)
	}
	return response.Header.Get("ETag"), err
}

// mounted opens files of one mount only: once it is gone, the folder below it would take them, and that is no save.
type mounted struct {
	dir    string
	device uint64
}

func inMount(by func(m mounted, name string, version uint64) error) func(*writers, *daemon.Daemon) save {
	return func(_ *writers, d *daemon.Daemon) save {
		m := mounted{d.Mount, device(os.Stat(d.Mount))}
		return func(_ context.Context, name string, version uint64) error { return by(m, name, version) }
	}
}

func (m mounted) path(name string) string { return filepath.Join(m.dir, name) }

func (m mounted) open(name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(m.path(name), flags|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if device(f.Stat()) != m.device {
		return nil, errors.Join(errors.New("the mount is gone"), f.Close(), os.Remove(m.path(name)))
	}
	return f, nil
}

// put writes a file and closes it, durably or not.
func (m mounted) put(name string, flags int, text []byte, durable bool) error {
	f, err := m.open(name, flags)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// renameDurable saves as editors do: a new file, made durable, renamed over the old one.
func renameDurable(m mounted, name string, version uint64) error {
	return m.replace(name, version, true)
}

// renameClosed is renameDurable without fsync.
func renameClosed(m mounted, name string, version uint64) error {
	return m.replace(name, version, false)
}

func (m mounted) replace(name string, version uint64, durable bool) error {
	if err := m.put(name+".tmp", os.O_WRONLY|os.O_TRUNC, content(name, version), durable); err != nil {
		return err
	}
	return os.Rename(m.path(name+".tmp"), m.path(name))
}

// inPlace overwrites the bytes that are there.
func inPlace(durable bool) func(m mounted, name string, version uint64) error {
	return func(m mounted, name string, version uint64) error {
		return m.put(name, os.O_RDWR, content(name, version), durable)
	}
}

// asJupyter saves as Jupyter's own server does: a copy aside, the file truncated and written in place, and the copy removed.
func asJupyter(m mounted, name string, version uint64) error {
	old, err := os.ReadFile(m.path(name))
	switch {
	case err == nil:
		err = m.put(aside(name), os.O_WRONLY|os.O_TRUNC, old, false)
	case errors.Is(err, os.ErrNotExist):
		err = nil
	}
	if err != nil {
		return err
	}
	if err := m.put(name, os.O_WRONLY|os.O_TRUNC, content(name, version), true); err != nil {
		return err
	}
	if err := os.Remove(m.path(aside(name))); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func aside(name string) string { return ".~" + name }

func appendDurable(m mounted, name string, version uint64) error {
	return m.put(name, os.O_WRONLY|os.O_APPEND, []byte(line(name, version)), true)
}

// line names a version. All are of one length.
func line(name string, version uint64) string { return fmt.Sprintf("%s %012d\n", name, version) }

// content is a file's version: some pages of lines that all name it, so that a part of it, or a mix of two, shows.
func content(name string, version uint64) []byte {
	line := line(name, version)
	return bytes.Repeat([]byte(line), 40_000/len(line))
}

// either returns an error unless a file holds one of two versions, as make makes them.
func either(text []byte, want uint64, make func(version uint64) []byte) error {
	if bytes.Equal(text, make(want)) || bytes.Equal(text, make(want+1)) {
		return nil
	}
	return fmt.Errorf("it has %d bytes that are neither version %d nor the next: %.60q", len(text), want, text)
}

func whole(name string, text []byte, want uint64, _ func(string) ([]byte, error)) error {
	return either(text, want, func(v uint64) []byte { return content(name, v) })
}

func wholeNotebook(name string, text []byte, want uint64, _ func(string) ([]byte, error)) error {
	var doc struct{ Cells []cell }
	if err := json.Unmarshal(text, &doc); err != nil {
		return err
	}
	var sources bytes.Buffer
	for _, c := range doc.Cells {
		switch s := c.Source.(type) {
		case string:
			sources.WriteString(s)
		case []any:
			for _, part := range s {
				fmt.Fprint(&sources, part)
			}
		}
	}
	return either(sources.Bytes(), want, func(v uint64) []byte { return bytes.Repeat([]byte(line(name, v)), notebookCells) })
}

// mixed is for writes in place: their bytes may be there in part.
func mixed(name string, text []byte, want uint64, _ func(string) ([]byte, error)) error {
	if len(text) != len(content(name, want)) {
		return fmt.Errorf("it has %d bytes", len(text))
	}
	// The kill may come at any byte.
	old, next := content(name, want), content(name, want+1)
	for i, b := range text {
		if b != old[i] && b != next[i] {
			return fmt.Errorf("byte %d is neither of version %d nor of the next", i, want)
		}
	}
	return nil
}

// wholeOrAside is for writes after a truncation: until they are acknowledged the version before is in the copy aside.
func wholeOrAside(name string, text []byte, want uint64, read func(string) ([]byte, error)) error {
	err := whole(name, text, want, nil)
	if err == nil {
		return nil
	}
	copied, readErr := read(aside(name))
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	return whole(name, copied, want, nil)
}

// appended is for a file that grows: all complete lines are in order, and the acknowledged one is among them.
func appended(name string, text []byte, want uint64, _ func(string) ([]byte, error)) error {
	var last uint64
	found := false
	for l := range bytes.Lines(text) {
		var v uint64
		if !bytes.HasSuffix(l, []byte("\n")) {
			continue // it was under way
		}
		if _, err := fmt.Sscanf(string(l), name+" %d\n", &v); err != nil || v < last {
			return fmt.Errorf("line %q after version %d", l, last)
		}
		found = found || v == want
		last = v
	}
	if !found {
		return fmt.Errorf("version %d is missing; the last is %d", want, last)
	}
	return nil
}

// checkVersions fails for each file that has not at least the acknowledged version. read reads a file by name, aside
// one that may be hidden.
func checkVersions(t *testing.T, way string, acknowledged map[string]uint64, read, aside func(name string) ([]byte, error)) {
	t.Helper()
	for _, k := range saveKinds {
		want, ok := acknowledged[k.file]
		if !ok {
			continue
		}
		text, err := read(k.file)
		if err == nil {
			err = k.check(k.file, text, want, aside)
		}
		if err != nil {
			t.Errorf("%s: %s, acknowledged was version %d: %v", way, k.file, want, err)
		}
	}
}
