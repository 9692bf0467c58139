package kernelspec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// install writes a kernel.json below dir and returns its folder.
func install(t *testing.T, dir, name, content string) string {
	t.Helper()
	folder := filepath.Join(dir, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "kernel.json"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

func spec(display string) string {
	return `{"argv":["` + display + `","{connection_file}"],"display_name":"` + display + `","language":"x"}`
}

func names(t *testing.T, f *Finder) []string {
	t.Helper()
	specs, err := f.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, s := range specs {
		got = append(got, s.Name+"="+s.DisplayName)
	}
	return got
}

func TestListTakesTheFirstAndSkipsTheBroken(t *testing.T) {
	user, system := t.TempDir(), t.TempDir()
	install(t, user, "R", spec("user R"))
	install(t, user, "broken", `{"argv":`)
	install(t, user, "no-argv", `{"display_name":"x","language":"x"}`)
	install(t, user, "bad name", spec("x"))
	if err := os.Mkdir(filepath.Join(user, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	install(t, system, "r", spec("system R"))
	install(t, system, "julia-1.9", spec("Julia"))
	var log bytes.Buffer
	f := New(Options{
		Dirs:   []string{user, filepath.Join(user, "missing"), system},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	want := []string{"julia-1.9=Julia", "r=user R"}
	for range 2 {
		if got := names(t, f); !reflect.DeepEqual(got, want) {
			t.Errorf("List = %q, want %q", got, want)
		}
	}
	if got := strings.Count(log.String(), "broken/kernel.json"); got != 1 {
		t.Errorf("broken spec was logged %d times, want once:\n%s", got, log.String())
	}
	if s, err := f.Find(t.Context(), "R"); err != nil || s.DisplayName != "user R" {
		t.Errorf("Find(R) = %v, %v", s, err)
	}
	if _, err := f.Find(t.Context(), "broken"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find(broken) = %v, want ErrNotFound", err)
	}
}

func TestListSeesChanges(t *testing.T) {
	dir := t.TempDir()
	folder := install(t, dir, "k", spec("one"))
	f := New(Options{Dirs: []string{dir}})
	if got := names(t, f); !reflect.DeepEqual(got, []string{"k=one"}) {
		t.Fatalf("List = %q", got)
	}
	install(t, dir, "k", spec("two"))
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(filepath.Join(folder, "kernel.json"), later, later); err != nil {
		t.Fatal(err)
	}
	if got := names(t, f); !reflect.DeepEqual(got, []string{"k=two"}) {
		t.Errorf("List after a change = %q, want k=two", got)
	}
}

func TestForbiddenSpecsAreNotTouched(t *testing.T) {
	mount, dir := t.TempDir(), t.TempDir()
	inMount := install(t, mount, "inner", spec("inner"))
	install(t, dir, "program", `{"argv":["`+mount+`/bin/k"],"display_name":"p","language":"x"}`)
	install(t, dir, "good", spec("good"))
	for link, target := range map[string]string{"direct": inMount, "second": filepath.Join(dir, "direct"), "loop": filepath.Join(dir, "loop")} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	f := New(Options{Dirs: []string{dir, mount}, Forbidden: []string{mount + "/"}})
	if got := names(t, f); !reflect.DeepEqual(got, []string{"good=good"}) {
		t.Errorf("List = %q, want good alone", got)
	}
	open := New(Options{Dirs: []string{dir}})
	if got := names(t, open); len(got) != 4 {
		t.Errorf("List without a mount = %q, want direct, good, program, second", got)
	}
}

func TestPythonIsPutIn(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "venv", `{"argv":["python3.12","-m","x"],"display_name":"v","language":"python"}`)
	f := New(Options{Dirs: []string{dir}, Python: "/opt/python"})
	s, err := f.Find(t.Context(), "venv")
	if err != nil || s.Argv[0] != "/opt/python" {
		t.Errorf("Find(venv) = %v, %v, want the configured interpreter", s.Argv, err)
	}
	for program, want := range map[string]bool{
		"python": true, "python3": true, "python3.11": true, "python2": false, "python3.x": false, "/usr/bin/python3": false,
	} {
		if got := isPython(program); got != want {
			t.Errorf("isPython(%s) = %v, want %v", program, got, want)
		}
	}
}

func TestPythonWithKernelIsOffered(t *testing.T) {
	python := filepath.Join(t.TempDir(), "python3")
	write := func(code string, modified time.Time) {
		t.Helper()
		if err := os.WriteFile(python, []byte("#!/bin/sh\nexit "+code+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(python, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	f := New(Options{Python: python})
	if got := names(t, f); len(got) != 0 {
		t.Errorf("List without the interpreter = %q, want none", got)
	}
	now := time.Now()
	write("1", now)
	if got := names(t, f); len(got) != 0 {
		t.Errorf("List without ipykernel = %q, want none", got)
	}
	write("0", now.Add(time.Second))
	if got := names(t, f); !reflect.DeepEqual(got, []string{"python3=Python 3 (ipykernel)"}) {
		t.Errorf("List with ipykernel = %q", got)
	}
}

func TestCommandAndEnviron(t *testing.T) {
	s := Spec{
		Dir:  "/specs/k",
		Argv: []string{"k", "--f={connection_file}", "{resource_dir}/lib", "{prefix}", "{other}"},
		Env:  map[string]string{"A": "${HOME}/a:${NONE}", "B": "$HOME"},
	}
	if got, want := s.Command(Values{ConnectionFile: "/c.json", Prefix: "/usr"}),
		[]string{"k", "--f=/c.json", "/specs/k/lib", "/usr", "{other}"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Command = %q, want %q", got, want)
	}
	lookup := func(name string) (string, bool) { return "/home/u", name == "HOME" }
	if got, want := s.Environ(lookup), map[string]string{"A": "/home/u/a:${NONE}", "B": "$HOME"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Environ = %q, want %q", got, want)
	}
}

func TestResources(t *testing.T) {
	dir := t.TempDir()
	folder := install(t, dir, "k", spec("k"))
	for _, name := range []string{"logo-64x64.png", "logo-svg.svg", "kernel.js", "secret.txt"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(Options{Dirs: []string{dir}}).Find(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"logo-64x64": "logo-64x64.png", "logo-svg": "logo-svg.svg", "kernel.js": "kernel.js"}
	if got := s.Resources(); !reflect.DeepEqual(got, want) {
		t.Errorf("Resources = %v, want %v", got, want)
	}
	file, err := s.Open("logo-svg.svg")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got, err := io.ReadAll(file); err != nil || string(got) != "logo-svg.svg" {
		t.Errorf("Open(logo-svg.svg) holds %q, %v", got, err)
	}
}

func TestOpen(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "k")
	for path, text := range map[string]string{"k/kernel.json": "{}", "k/resource.txt": "beside", "k/static/a.js": "below", "k2/x": "sibling", "secret": "outside"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(top, path)), 0o755), os.WriteFile(filepath.Join(top, path), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"inside": "resource.txt", "outside": "../secret", "absolute": filepath.Join(top, "secret"), "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := Spec{Name: "k", Dir: dir}
	for name, want := range map[string]string{"kernel.json": "{}", "resource.txt": "beside", "static/a.js": "below", "static/../resource.txt": "beside", "inside": "beside"} {
		f, err := s.Open(name)
		if err != nil {
			t.Errorf("Open(%q) = %v", name, err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != want {
			t.Errorf("Open(%q) holds %q, %v, want %q", name, got, err, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "static", "nope", "../secret", "../k2/x", "static/../../secret", "/etc/passwd", "outside", "absolute", "loop", "pipe", "a\x00b"} {
		if _, err := s.Open(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(%q) = %v, want ErrNotFound", name, err)
		}
	}
	if _, err := (Spec{Name: "made up"}).Open("kernel.json"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of a spec without a folder = %v, want ErrNotFound", err)
	}
}

func TestSpecJSON(t *testing.T) {
	s, err := Parse([]byte(spec("k")))
	if err != nil {
		t.Fatal(err)
	}
	s.Name, s.Dir = "k", "/somewhere"
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"argv":["k","{connection_file}"],"env":{},"display_name":"k","language":"x","interrupt_mode":"signal","metadata":{}}`
	if string(raw) != want {
		t.Errorf("JSON = %s, want %s", raw, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(spec("k")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Parse(raw)
		if err != nil {
			return
		}
		s.Command(Values{})
		s.Environ(func(string) (string, bool) { return "", true })
		if _, err := json.Marshal(s); err != nil {
			t.Fatalf("Marshal(%v) = %v", s, err)
		}
	})
}
