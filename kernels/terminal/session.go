package terminal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
)

const (
	// drainPatience is how long the last output of a shell that has ended may take to be read while a program that it
	// left behind keeps the terminal open.
	drainPatience = 200 * time.Millisecond
	// endPatience limits the end of a terminal when the Manager is closed; what is left is killed then.
	endPatience = 10 * time.Second
)

// Model is a terminal as Jupyter's REST API shows it.
type Model struct {
	Name         string    `json:"name"`
	LastActivity time.Time `json:"last_activity"`
}

// Terminal is one shell on a pseudo terminal. Its Manager ends it.
type Terminal struct {
	name    string
	opts    Options
	log     *slog.Logger
	control *os.File // our end of the pseudo terminal
	process *shim.Process
	gone    chan struct{} // closed when the shell has ended and the Manager forgot the terminal
	typing  chan struct{} // holds a token while a client types

	// mu guards what follows.
	mu       sync.Mutex
	clients  map[*Client]bool
	replay   []string // the last output, oldest first
	activity time.Time
	rows     int // the size set last
	columns  int
	ended    bool
}

func newTerminal(name string, control *os.File, process *shim.Process, opts Options) *Terminal {
	return &Terminal{
		name: name, opts: opts, log: opts.Logger.With(slog.String("terminal", name)),
		control: control, process: process, gone: make(chan struct{}), typing: make(chan struct{}, 1),
		clients: map[*Client]bool{}, activity: time.Now(), rows: defaultRows, columns: defaultColumns,
	}
}

// Name returns the terminal's name.
func (t *Terminal) Name() string { return t.name }

// Model returns the terminal's state at this moment.
func (t *Terminal) Model() Model {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Model{Name: t.name, LastActivity: t.activity.UTC().Truncate(time.Microsecond)}
}

// Attach connects a client, which first receives the terminal's last output. The error matches ErrNotFound when the
// shell has ended.
func (t *Terminal) Attach() (*Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, t.name)
	}
	c := newClient(t, t.opts.QueueBytes)
	for _, chunk := range t.replay {
		c.push(chunk)
	}
	t.clients[c] = true
	return c, nil
}

// run passes output on until the shell has ended or closing is closed.
func (t *Terminal) run(closing <-chan struct{}) {
	read := make(chan struct{})
	go func() { defer close(read); t.read() }()
	select {
	case <-t.process.Exited():
	case <-closing:
		t.closeProcess()
	}
	drained := time.NewTimer(drainPatience)
	defer drained.Stop()
	select {
	case <-read:
	case <-drained.C:
	}
	if err := t.control.Close(); err != nil {
		t.log.Warn("cannot close a pseudo terminal", "error", err)
	}
	<-read
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for c := range t.clients {
		c.end(io.EOF)
	}
	clear(t.clients)
}

// linger waits for what the shell left in the background, or ends it when closing is closed.
func (t *Terminal) linger(closing <-chan struct{}) {
	select {
	case <-t.process.Gone():
	case <-closing:
	}
	t.closeProcess()
}

func (t *Terminal) closeProcess() {
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	if err := t.process.Close(ctx); err != nil {
		t.log.Warn("cannot end a terminal's processes", "error", err)
	}
}

// end ends the shell and all that runs below it.
func (t *Terminal) end(ctx context.Context) error {
	if err := t.process.Close(ctx); err != nil {
		return fmt.Errorf("end terminal %s: %w", t.name, err)
	}
	select {
	case <-t.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read broadcasts output, cut between characters, until the terminal is closed.
func (t *Terminal) read() {
	buf := make([]byte, 32<<10)
	held := 0 // bytes of an unfinished character at the start of buf
	for {
		n, err := t.control.Read(buf[held:])
		n += held
		held = 0
		if err == nil {
			held = unfinished(buf[:n])
		}
		if text := strings.ToValidUTF8(string(buf[:n-held]), "\uFFFD"); text != "" {
			t.broadcast(text)
		}
		if err != nil {
			return // EIO: no program has the terminal open any more; or it was closed here
		}
		copy(buf, buf[n-held:n])
	}
}

// unfinished returns how many bytes at the end of p begin a character that the next bytes may complete.
func unfinished(p []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(p)); n++ {
		b := p[len(p)-n]
		if utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

func (t *Terminal) broadcast(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.activity = time.Now()
	if len(t.replay) == t.opts.ReplayChunks {
		t.replay = append(t.replay[:0], t.replay[1:]...)
	}
	t.replay = append(t.replay, text)
	for c := range t.clients {
		c.push(text)
	}
}

// fit gives the pseudo terminal the size of the smallest client. The caller holds mu.
func (t *Terminal) fit() {
	rows, columns := 0, 0
	for c := range t.clients {
		if c.rows > 0 && (rows == 0 || c.rows < rows) {
			rows = c.rows
		}
		if c.columns > 0 && (columns == 0 || c.columns < columns) {
			columns = c.columns
		}
	}
	if rows == 0 || columns == 0 || rows == t.rows && columns == t.columns {
		return
	}
	if err := setSize(t.control, rows, columns); err != nil {
		t.log.Warn("cannot resize a terminal", "error", err)
		return
	}
	t.rows, t.columns = rows, columns
}
