package kernels_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
	"github.com/jupyter-drive/jupyter-drive/kernels/kerneltest"
	"github.com/jupyter-drive/jupyter-drive/kernels/provider/local"
	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
	"github.com/jupyter-drive/jupyter-drive/kernels/zmqconn"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "kernel-shim":
			os.Exit(shim.Main(os.Stdin, os.Stdout))
		case kerneltest.Argument:
			os.Exit(kerneltest.Main(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what should come at once.
const patience = time.Minute

func executable(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// provider returns one that offers the fake kernels given, by spec name.
func provider(t testing.TB, scripts map[string]kerneltest.Script, python string) *local.Provider {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		raw, err := json.Marshal(map[string]any{
			"argv": kerneltest.Argv(executable(t), script), "display_name": name, "language": "fake",
			"interrupt_mode": map[bool]string{true: "message", false: "signal"}[name == "message"],
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "kernel.json"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runtime, err := os.MkdirTemp("", "jd") //nolint:usetesting // the path of t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(runtime); err != nil {
			t.Error(err)
		}
	})
	return local.New(local.Options{
		Specs:      kernelspec.New(kernelspec.Options{Dirs: []string{dir}, Python: python}),
		Shim:       []string{executable(t), "kernel-shim"},
		RuntimeDir: filepath.Join(runtime, "r"),
		Env:        []string{"PATH=/usr/bin:/bin", "HOME=" + dir},
		Connection: zmqconn.Options{HandshakeTimeout: time.Second},
	})
}

// quick are options under which a fake kernel's life passes in no time.
func quick(p kernels.Provider) kernels.Options {
	return kernels.Options{
		Provider: p, Nudge: 20 * time.Millisecond, ShutdownWait: 2 * time.Second,
		Backoff: time.Millisecond, ReadyTimeout: patience,
	}
}

// newManager returns a manager over fake kernels and closes it at the end of the test.
func newManager(t testing.TB, scripts map[string]kerneltest.Script, change ...func(*kernels.Options)) *kernels.Manager {
	t.Helper()
	opts := quick(provider(t, scripts, ""))
	for _, c := range change {
		c(&opts)
	}
	return manage(t, opts)
}

func manage(t testing.TB, opts kernels.Options) *kernels.Manager {
	t.Helper()
	m := kernels.New(opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return m
}

// healthy is a set of one well-behaved fake kernel.
func healthy() map[string]kerneltest.Script {
	return map[string]kerneltest.Script{"fake": {}}
}

func start(t testing.TB, m *kernels.Manager, name string) *kernels.Kernel {
	t.Helper()
	k, err := m.Start(t.Context(), kernels.StartRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func startReady(t testing.TB, m *kernels.Manager, name string) *kernels.Kernel {
	t.Helper()
	k := start(t, m, name)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := k.Ready(ctx); err != nil {
		t.Fatalf("Ready = %v", err)
	}
	return k
}

// front is a front end in a test: a client with what it needs to ask and to wait.
type front struct {
	*kernels.Client
	t       testing.TB
	session *wire.Session
}

func attach(t testing.TB, k *kernels.Kernel, session string) *front {
	t.Helper()
	c, err := k.Attach(kernels.AttachOptions{SessionID: session, Username: "user of " + session})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a second Close does nothing
	return &front{c, t, wire.NewSession(nil, "forged")}
}

// send sends a request and returns its id.
func (f *front) send(channel wire.Channel, msgType string, content any) string {
	f.t.Helper()
	id, err := f.try(channel, msgType, content)
	if err != nil {
		f.t.Fatalf("Send(%s) = %v", msgType, err)
	}
	return id
}

// try is send for a request that may be refused.
func (f *front) try(channel wire.Channel, msgType string, content any) (id string, err error) {
	f.t.Helper()
	m, err := f.session.Request(channel, msgType, content)
	if err != nil {
		f.t.Fatal(err)
	}
	h, err := m.DecodeHeader()
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	return h.MsgID, f.Send(ctx, m)
}

// code is the content of an execute_request.
func code(text string) map[string]any {
	return map[string]any{
		"code": text, "silent": false, "store_history": false, "allow_stdin": true, "stop_on_error": true,
		"user_expressions": struct{}{},
	}
}

func (f *front) execute(text string) string {
	f.t.Helper()
	return f.send(wire.Shell, "execute_request", code(text))
}

// received is a message with its interesting parts decoded.
type received struct {
	wire.Message
	header, parent wire.Header
	content        map[string]any
}

// text returns a string of the content.
func (r received) text(field string) string {
	s, _ := r.content[field].(string)
	return s
}

func (f *front) recv() received {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	m, err := f.Recv(ctx)
	if err != nil {
		f.t.Fatalf("Recv = %v", err)
	}
	return decode(f.t, m)
}

func decode(t testing.TB, m wire.Message) received {
	t.Helper()
	r := received{Message: m}
	var err error
	if r.header, err = m.DecodeHeader(); err != nil {
		t.Fatal(err)
	}
	if r.parent, err = m.DecodeParent(); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(m.Content, &r.content); err != nil {
		t.Fatalf("content %q: %v", m.Content, err)
	}
	return r
}

// until receives until a message of that type, and of that parent unless it is empty, and returns it.
func (f *front) until(msgType, parent string) received {
	f.t.Helper()
	for {
		if r := f.recv(); r.header.MsgType == msgType && (parent == "" || r.parent.MsgID == parent) {
			return r
		}
	}
}

// outcome is everything about one request.
type outcome struct {
	reply    received
	messages []received // iopub, in order
}

// streams returns the text of all stream messages of a name.
func (o outcome) streams(name string) (text string) {
	for _, m := range o.messages {
		if m.header.MsgType == "stream" && m.text("name") == name {
			text += m.text("text")
		}
	}
	return text
}

// first returns the first message of a type, or nothing.
func (o outcome) first(msgType string) received {
	for _, m := range o.messages {
		if m.header.MsgType == msgType {
			return m
		}
	}
	return received{}
}

// finish receives until both the reply to a request and its idle status were there.
func (f *front) finish(id string) outcome {
	f.t.Helper()
	var o outcome
	for idle := false; !idle || o.reply.content == nil; {
		r := f.recv()
		switch {
		case r.parent.MsgID != id:
		case r.Channel == wire.Shell:
			o.reply = r
		case r.Channel == wire.IOPub:
			o.messages = append(o.messages, r)
			idle = idle || r.header.MsgType == "status" && r.text("execution_state") == "idle"
		}
	}
	return o
}

func (f *front) run(code string) outcome {
	f.t.Helper()
	return f.finish(f.execute(code))
}

// waitState waits until k is in a state.
func waitState(t testing.TB, k *kernels.Kernel, want kernels.State) {
	t.Helper()
	waitFor(t, "state "+string(want), func() bool { return k.Model().ExecutionState == want })
}

// waitFor polls until ok.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}
