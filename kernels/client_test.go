package kernels_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/kerneltest"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

func TestReplyGoesOnlyToWhoAsked(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	a, b := attach(t, k, "a"), attach(t, k, "b")
	id := a.execute("print x")
	if o := a.finish(id); o.reply.content == nil || o.streams("stdout") != "x\n" {
		t.Errorf("the asker got %v", o)
	}
	b.until("stream", id)
	other := b.execute("print y")
	for {
		r := b.recv()
		if r.Channel == wire.Shell && r.parent.MsgID != other {
			t.Errorf("b got the reply to a's request")
		}
		if r.Channel == wire.Shell {
			break
		}
	}
	if got := k.Model().Connections; got != 2 {
		t.Errorf("connections = %d, want 2", got)
	}
}

func TestManagersOwnRequestsAreHidden(t *testing.T) {
	m := newManager(t, healthy())
	k := start(t, m, "fake")
	c := attach(t, k, "s") // before the kernel was nudged
	id := c.execute("print x")
	for {
		r := c.recv()
		if r.parent.MsgID != id {
			t.Errorf("the client got %s about %v", r.header.MsgType, r.parent)
		}
		if r.header.MsgType == "execute_reply" {
			return
		}
	}
}

func TestStalledClientIsDisconnectedAndHoldsNobodyUp(t *testing.T) {
	m := newManager(t, healthy(), func(o *kernels.Options) { o.QueueBytes = 1 << 20; o.BufferBytes = 1 << 20 })
	k := startReady(t, m, "fake")
	stalled, reader := attach(t, k, "stalled"), attach(t, k, "reader")
	for range 30 { // 3 MB for each client, joined or not
		if got := len(reader.run("spam 20 5000").streams("stdout")); got != 20*5000 {
			t.Fatalf("the reading client got %d bytes, want %d", got, 20*5000)
		}
	}
	if _, err := stalled.Recv(t.Context()); !errors.Is(err, kernels.ErrSlowClient) {
		t.Errorf("Recv of the stalled client = %v, want ErrSlowClient", err)
	}
	waitFor(t, "one connection", func() bool { return k.Model().Connections == 1 })
}

func TestStalledClientGetsJoinedOutput(t *testing.T) {
	m := newManager(t, healthy(), func(o *kernels.Options) { o.QueueBytes = 256 << 10 })
	k := startReady(t, m, "fake")
	stalled, reader := attach(t, k, "stalled"), attach(t, k, "reader")
	id := reader.execute("spam 5000 10\nprint end") // 3 MB as single messages, 50 KB of text
	reader.finish(id)
	text := ""
	for {
		r := stalled.recv()
		if r.header.MsgType == "stream" {
			text += r.text("text")
		}
		if r.header.MsgType == "status" && r.text("execution_state") == "idle" {
			break
		}
	}
	if len(text) != 5000*10+len("end\n") {
		t.Errorf("the stalled client got %d bytes of text, want %d", len(text), 5000*10+4)
	}
}

func TestReconnectWithTheSameSession(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	old := attach(t, k, "s")
	old.run("print first")
	id := old.execute("print second")
	waitState(t, k, kernels.Idle)
	current := attach(t, k, "s")
	if _, err := old.Recv(t.Context()); !errors.Is(err, kernels.ErrReplaced) {
		t.Errorf("Recv of the older client = %v, want ErrReplaced", err)
	}
	if o := current.finish(id); o.streams("stdout") != "second\n" {
		t.Errorf("the newer client got %v, want what the older had not read", o.messages)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if got := k.Model().Connections; got != 1 {
		t.Errorf("connections = %d, want 1", got)
	}
}

func TestOutputWhileNobodyIsConnected(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	run := func(session string) (id string) {
		c := attach(t, k, session)
		id = c.execute("sleep\nprint late")
		c.until("execute_input", id)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := m.Interrupt(t.Context(), k.ID()); err != nil {
			t.Fatal(err)
		}
		waitState(t, k, kernels.Idle)
		return id
	}
	id := run("s")
	if o := attach(t, k, "s").finish(id); o.reply.text("evalue") != "interrupted" {
		t.Errorf("the same session got %v, want the reply it missed", o)
	}

	k = startReady(t, m, "fake")
	id = run("s")
	other := attach(t, k, "other")
	mine := other.execute("print mine")
	for {
		r := other.recv()
		if r.parent.MsgID == id {
			t.Errorf("another session got a %s that was kept for the first", r.header.MsgType)
		}
		if r.parent.MsgID == mine && r.header.MsgType == "stream" {
			break
		}
	}
}

func TestDroppedOutputIsCounted(t *testing.T) {
	m := newManager(t, healthy(), func(o *kernels.Options) { o.BufferBytes = 50_000 })
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	pid, err := strconv.Atoi(strings.TrimSpace(c.run("pid").streams("stdout")))
	if err != nil {
		t.Fatal(err)
	}
	before := k.Model().LastActivity
	signal := func(sig syscall.Signal) {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP) // the kernel waits until nobody is connected
	spam := c.execute("spam 20 10000\nresult done")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	signal(syscall.SIGCONT)
	waitFor(t, "the output", func() bool {
		now := k.Model()
		return now.LastActivity.After(before) && now.ExecutionState == kernels.Idle
	})
	c = attach(t, k, "s")
	notice := c.until("stream", "")
	if got := notice.text("text"); notice.text("name") != "stderr" || !strings.Contains(got, "messages were dropped") {
		t.Errorf("first stream = %v, want a notice of the loss", notice.content)
	}
	if o := c.finish(spam); o.reply.text("status") != "ok" {
		t.Errorf("the reply was lost: %v", o.reply)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	m := newManager(t, map[string]kerneltest.Script{"late": {LateBind: time.Hour}})
	k := start(t, m, "late")
	c := attach(t, k, "s")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := c.session.Request(wire.Shell, "execute_request", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(ctx, req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send to a kernel that does not start = %v, want context.DeadlineExceeded", err)
	}
}

// TestDateInSeconds proves that a client whose headers have their date as a number, as jupyter_server's own client of a gateway writes
// it, is served, and that kernels see text.
func TestDateInSeconds(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	request, err := c.session.Request(wire.Shell, "execute_request", map[string]any{"code": "print x"})
	if err != nil {
		t.Fatal(err)
	}
	request.Header = []byte(`{"msg_id":"n1","msg_type":"execute_request","session":"other","username":"","date":1767323045.25,"version":"5.3"}`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Send(ctx, request); err != nil {
		t.Fatalf("Send = %v", err)
	}
	o := c.finish("n1")
	if got, want := o.reply.parent.Date, "2026-01-02T03:04:05.250000Z"; got != want || o.streams("stdout") != "x\n" {
		t.Errorf("the kernel saw the date %q and printed %q, want %q and x", got, o.streams("stdout"), want)
	}
}
