package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "kernel-shim" {
		os.Exit(shim.Main(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

const patience = time.Minute

func newManager(t *testing.T, change func(*Options)) *Manager {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Shim: []string{exe, "kernel-shim"}, Command: []string{"/bin/sh"},
		Env: []string{"PATH=/usr/bin:/bin", "PS1=> ", "ENV="},
	}
	if change != nil {
		change(&opts)
	}
	m := New(opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return m
}

func create(t *testing.T, m *Manager, req CreateRequest) *Terminal {
	t.Helper()
	term, err := m.Create(t.Context(), req)
	if err != nil {
		t.Skip("no pseudo terminals here: " + err.Error())
	}
	return term
}

func attach(t *testing.T, term *Terminal) *Client {
	t.Helper()
	c, err := term.Attach()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a second Close does nothing
	return c
}

// expect receives until the output holds want, and returns all of it.
func expect(t *testing.T, c *Client, want string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := ""
	for !strings.Contains(seen, want) {
		text, err := c.Recv(ctx)
		if err != nil {
			t.Fatalf("Recv = %v after %q, want %q", err, seen, want)
		}
		seen += text
	}
	return seen
}

func write(t *testing.T, c *Client, text string) {
	t.Helper()
	if err := c.Write(text); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestShell(t *testing.T) {
	m := newManager(t, nil)
	dir := t.TempDir()
	term := create(t, m, CreateRequest{Dir: dir + "/gone"})
	before := term.Model()
	c := attach(t, term)
	write(t, c, "pwd; echo $TERM; tty; echo sum $((40+2))\n")
	out := expect(t, c, "sum 42")
	for _, want := range []string{dir + "\r\n", "xterm-256color", "/dev/pts/"} {
		if !strings.Contains(out, want) {
			t.Errorf("output %q lacks %q", out, want)
		}
	}
	if after := term.Model(); after.Name != "1" || !after.LastActivity.After(before.LastActivity) {
		t.Errorf("Model = %+v, before %+v, want later activity", after, before)
	}
	write(t, c, `sh -c 'trap "exit 130" INT; echo loop-$((1)); while :; do sleep 0.05; done'`+"\n")
	expect(t, c, "loop-1")
	write(t, c, "\x03") // which also discards what was typed and not read yet
	expect(t, c, "> ")
	write(t, c, "echo interrupted $?\n")
	expect(t, c, "interrupted 130")
}

func TestNames(t *testing.T) {
	m := newManager(t, nil)
	create(t, m, CreateRequest{})
	create(t, m, CreateRequest{Name: "2"})
	if got := create(t, m, CreateRequest{}).Name(); got != "3" {
		t.Errorf("name = %s, want 3", got)
	}
	for name, want := range map[string]error{"2": ErrExist, "a/b": ErrInvalid, "..": ErrInvalid} {
		if _, err := m.Create(t.Context(), CreateRequest{Name: name}); !errors.Is(err, want) {
			t.Errorf("Create(%q) = %v, want %v", name, err, want)
		}
	}
	if got := len(m.Terminals()); got != 3 {
		t.Errorf("%d terminals, want 3", got)
	}
	if err := m.Delete(t.Context(), "2"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Terminal("2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Terminal(2) after Delete = %v, want ErrNotFound", err)
	}
	if err := m.Delete(t.Context(), "2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("second Delete = %v, want ErrNotFound", err)
	}
}

func TestClientsShareATerminal(t *testing.T) {
	m := newManager(t, nil)
	term := create(t, m, CreateRequest{})
	a, b := attach(t, term), attach(t, term)
	write(t, a, "echo from-$((1))\n")
	expect(t, a, "from-1")
	expect(t, b, "from-1")
	late := attach(t, term)
	expect(t, late, "from-1")

	size := func(want string) {
		t.Helper()
		write(t, a, "stty size\n")
		expect(t, a, want)
	}
	for _, s := range []struct {
		c             *Client
		rows, columns int
	}{{a, 50, 100}, {b, 40, 120}} {
		if err := s.c.Resize(s.rows, s.columns); err != nil {
			t.Fatal(err)
		}
	}
	size("40 100")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	size("50 100")
	for _, bad := range [][2]int{{0, 80}, {-1, 80}, {24, 1 << 16}} {
		if err := a.Resize(bad[0], bad[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("Resize(%v) = %v, want ErrInvalid", bad, err)
		}
	}
	if _, err := b.Recv(t.Context()); err == nil {
		for err == nil {
			_, err = b.Recv(t.Context())
		}
		if !errors.Is(err, ErrClosed) {
			t.Errorf("Recv after Close = %v, want ErrClosed", err)
		}
	}
}

func TestExitEndsClients(t *testing.T) {
	m := newManager(t, nil)
	term := create(t, m, CreateRequest{})
	c := attach(t, term)
	write(t, c, "(trap '' HUP; sleep 100) & echo background $!; exit\n")
	out := ""
	for {
		text, err := c.Recv(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		out += text
	}
	waitFor(t, "the terminal to vanish", func() bool { return len(m.Terminals()) == 0 })
	if _, err := term.Attach(); !errors.Is(err, ErrNotFound) {
		t.Errorf("Attach after exit = %v, want ErrNotFound", err)
	}
	rest := out[strings.LastIndex(out, "background ")+len("background "):]
	pid, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatalf("output %q: %v", out, err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the background program has ended with the shell (%v), want it to live on", err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the background program outlives Close (%v)", err)
	}
	if _, err := m.Create(t.Context(), CreateRequest{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Create after Close = %v, want ErrClosed", err)
	}
}

func TestSlowClientScrolls(t *testing.T) {
	m := newManager(t, func(o *Options) { o.QueueBytes = 64 << 10; o.ReplayChunks = 5 })
	term := create(t, m, CreateRequest{})
	slow, fast := attach(t, term), attach(t, term)
	write(t, fast, "yes 0123456789 | head -c 3000000; echo; echo the-$((1))-end\n")
	expect(t, fast, "the-1-end")
	if out := expect(t, slow, "the-1-end"); len(out) > 128<<10 {
		t.Errorf("a client that did not read has %d bytes waiting, want at most its limit", len(out))
	}
	if got := len(term.replay); got != 5 {
		t.Errorf("%d chunks are kept for replay, want 5", got)
	}
}

func TestUnfinishedCharacters(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "a": 0, "é": 0, "a\xc3": 1, "\xe2\x82": 2, "\xf0\x9f\x98": 3, "a\x80": 0, "\x80\x80\x80": 0, "\xff": 0, "é\xc3": 1,
	} {
		if got := unfinished([]byte(text)); got != want {
			t.Errorf("unfinished(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestOutputIsCutBetweenCharacters(t *testing.T) {
	m := newManager(t, func(o *Options) {
		o.Command = []string{"/bin/sh", "-c", "read x; i=0; while [ $i -lt 3000 ]; do printf 'aé€😀aé€😀aé€😀aé€😀'; i=$((i+1)); done; echo end"}
	})
	c := attach(t, create(t, m, CreateRequest{}))
	write(t, c, "\n")
	if out := expect(t, c, "end"); strings.ContainsRune(out, '\uFFFD') {
		t.Error("characters were cut")
	}
}

func TestNothingLeaks(t *testing.T) {
	m := newManager(t, nil)
	cycle := func() {
		for i := range 5 {
			term := create(t, m, CreateRequest{})
			c := attach(t, term)
			write(t, c, fmt.Sprintf("echo n-$((%d+1))\n", i))
			expect(t, c, fmt.Sprintf("n-%d", i+1))
			if err := m.Delete(t.Context(), term.Name()); err != nil {
				t.Fatal(err)
			}
		}
	}
	descriptors := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	cycle()
	goroutines, fds := runtime.NumGoroutine(), descriptors()
	cycle()
	waitFor(t, "goroutines and descriptors to be as before", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors() <= fds
	})
}

// TestCloseEndsTyping closes clients whose text no program reads: the one that types, and the one that waits for its turn.
func TestCloseEndsTyping(t *testing.T) {
	term := create(t, newManager(t, nil), CreateRequest{})
	first, second := attach(t, term), attach(t, term)
	if err := first.Write("stty raw -echo; echo rea''dy; sleep 1000\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, first, "ready")
	results := make(chan error, 2)
	typing := func(c *Client) {
		go func() { results <- c.Write(strings.Repeat("x", 1<<20)) }()
	}
	typing(first)
	for len(term.typing) == 0 {
		runtime.Gosched()
	}
	typing(second)
	for _, c := range []*Client{second, first} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-results; !errors.Is(err, ErrClosed) {
			t.Errorf("Write of a client that was closed = %v, want ErrClosed", err)
		}
	}
}
