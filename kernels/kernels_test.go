package kernels_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/kerneltest"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

func TestExecute(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	o := c.run("print hello\nresult 42")
	if got := o.streams("stdout"); got != "hello\n" {
		t.Errorf("stdout = %q, want hello", got)
	}
	if got := o.reply.text("status"); got != "ok" || o.reply.header.MsgType != "execute_reply" {
		t.Errorf("reply = %s %v", o.reply.header.MsgType, o.reply.content)
	}
	if o.first("execute_result").content == nil || o.first("execute_input").content == nil {
		t.Errorf("messages = %v, want an execute_input and an execute_result", o.messages)
	}
	if got := o.reply.parent.Username; got != "user of s" {
		t.Errorf("the kernel saw user %q, want the verified one", got)
	}
	if o := c.run("error oops"); o.reply.text("status") != "error" || o.first("error").text("evalue") != "oops" {
		t.Errorf("reply to an error = %v", o.reply.content)
	}
}

func TestStartWithoutClientBecomesIdle(t *testing.T) {
	for name, script := range map[string]kerneltest.Script{
		"healthy":        {},
		"late":           {LateBind: 300 * time.Millisecond},
		"mute":           {Mute: 1},
		"silent-control": {SilentControl: true},
		"welcome":        {Welcome: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, map[string]kerneltest.Script{name: script})
			k := start(t, m, name)
			if got := k.Model(); got.ExecutionState != kernels.Starting && got.ExecutionState != kernels.Idle || got.Name != name {
				t.Errorf("Model = %+v, want it starting", got)
			}
			waitState(t, k, kernels.Idle)
			if o := attach(t, k, "s").run("print x"); o.streams("stdout") != "x\n" {
				t.Errorf("first output = %v", o.messages)
			}
		})
	}
}

func TestStartErrors(t *testing.T) {
	m := newManager(t, healthy())
	id := "0-0-0-0-1"
	if _, err := m.Start(t.Context(), kernels.StartRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		req  kernels.StartRequest
		want error
	}{
		"unknown spec": {kernels.StartRequest{Name: "nope"}, kernels.ErrNoSuchSpec},
		"id in use":    {kernels.StartRequest{ID: id}, kernels.ErrDuplicate},
		"bad id":       {kernels.StartRequest{ID: "../x"}, kernels.ErrInvalid},
	} {
		if _, err := m.Start(t.Context(), tt.req); !errors.Is(err, tt.want) {
			t.Errorf("%s: Start = %v, want %v", name, err, tt.want)
		}
	}
	if got := m.DefaultKernel(t.Context()); got != "fake" {
		t.Errorf("DefaultKernel = %q, want fake", got)
	}
	if _, err := m.Kernel("none"); !errors.Is(err, kernels.ErrNoSuchKernel) {
		t.Errorf("Kernel(none) = %v, want ErrNoSuchKernel", err)
	}
}

func TestWorkingDirectoryAndEnvironment(t *testing.T) {
	m := newManager(t, healthy())
	dir := t.TempDir()
	k, err := m.Start(t.Context(), kernels.StartRequest{
		Dir: dir + "/gone/too", SessionName: dir + "/n.ipynb", Env: map[string]string{"EXTRA": "e"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := attach(t, k, "s")
	got := c.run("cwd\nenv JPY_SESSION_NAME\nenv EXTRA\nenv SECRET").streams("stdout")
	if want := dir + " <nil>\n" + dir + "/n.ipynb\ne\n\n"; got != want {
		t.Errorf("kernel says %q, want %q", got, want)
	}
	parent, err := strconv.Atoi(strings.TrimSpace(c.run("env JPY_PARENT_PID").streams("stdout")))
	if err != nil || parent == os.Getpid() || syscall.Kill(parent, 0) != nil {
		t.Errorf("JPY_PARENT_PID = %d, %v, want the shim", parent, err)
	}
}

func TestBusyFollowsTrackedRequests(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	before := k.Model().LastActivity
	c.finish(c.send(wire.Shell, "kernel_info_request", struct{}{}))
	if got := k.Model().LastActivity; !got.Equal(before) {
		t.Errorf("kernel_info moved last_activity from %v to %v", before, got)
	}
	id := c.execute("sleep")
	waitState(t, k, kernels.Busy)
	if got := k.Model(); got.Connections != 1 || got.LastActivity.Location() != time.UTC {
		t.Errorf("Model = %+v, want one connection and UTC", got)
	}
	if err := m.Interrupt(t.Context(), k.ID()); err != nil {
		t.Fatal(err)
	}
	c.finish(id)
	waitState(t, k, kernels.Idle)
	if got := k.Model().LastActivity; !got.After(before) {
		t.Errorf("last_activity = %v, want later than %v", got, before)
	}
}

func TestInterrupt(t *testing.T) {
	for _, mode := range []string{"signal", "message"} {
		t.Run(mode, func(t *testing.T) {
			m := newManager(t, map[string]kerneltest.Script{mode: {}})
			k := startReady(t, m, mode)
			c := attach(t, k, "s")
			id := c.execute("sleep")
			c.until("execute_input", id)
			if err := m.Interrupt(t.Context(), k.ID()); err != nil {
				t.Fatal(err)
			}
			if o := c.finish(id); o.reply.text("evalue") != "interrupted" {
				t.Errorf("reply = %v, want interrupted", o.reply.content)
			}
		})
	}
}

func TestInput(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	asker, other := attach(t, k, "asker"), attach(t, k, "other")
	id := asker.execute("input name?")
	q := asker.until("input_request", id)
	if q.text("prompt") != "name?" || q.Channel != wire.Stdin {
		t.Errorf("question = %v on %s", q.content, q.Channel)
	}
	asker.send(wire.Stdin, "input_reply", map[string]string{"value": "Ada"})
	other.send(wire.Stdin, "input_reply", map[string]string{"value": "Eve"}) // too late: dropped
	if got := asker.finish(id).streams("stdout"); got != "Ada\n" {
		t.Errorf("stdout = %q, want Ada", got)
	}
	for {
		r := other.recv()
		if r.Channel != wire.IOPub {
			t.Errorf("the other client got a %s on %s", r.header.MsgType, r.Channel)
		}
		if r.text("execution_state") == "idle" {
			break
		}
	}
	id = asker.execute("input again?")
	asker.until("input_request", id)
	asker.send(wire.Stdin, "input_reply", map[string]string{"value": "Bob"})
	if got := asker.finish(id).streams("stdout"); got != "Bob\n" {
		t.Errorf("second answer = %q, want Bob", got)
	}
}

func TestInputIsAskedOfAnotherClientWhenTheAskerHasGone(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	asker, other := attach(t, k, "asker"), attach(t, k, "other")
	blocker := other.execute("sleep")
	other.until("execute_input", blocker)
	id := asker.execute("input name?")
	if err := asker.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Interrupt(t.Context(), k.ID()); err != nil {
		t.Fatal(err)
	}
	other.until("input_request", id)
	other.send(wire.Stdin, "input_reply", map[string]string{"value": "Cy"})
	if got := other.until("stream", id).text("text"); got != "Cy\n" {
		t.Errorf("answer = %q, want Cy", got)
	}
}

func TestRestart(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	first := c.run("pid").streams("stdout")
	running := c.execute("sleep")
	c.until("execute_input", running)
	var callers sync.WaitGroup
	for range 3 { // the later ones join the first
		callers.Go(func() {
			if err := m.Restart(t.Context(), k.ID()); err != nil {
				t.Errorf("Restart = %v", err)
			}
		})
	}
	callers.Wait()
	if got := k.Model().ExecutionState; got != kernels.Idle {
		t.Errorf("state after Restart = %s, want idle", got)
	}
	second := c.run("pid").streams("stdout")
	if first == second || second == "" {
		t.Errorf("pid before %q and after %q, want another process", first, second)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		t.Errorf("the first process %d still runs (%v)", pid, err)
	}
}

func TestShutdown(t *testing.T) {
	for name, script := range map[string]kerneltest.Script{"polite": {}, "stubborn": {IgnoreShutdown: true}} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, map[string]kerneltest.Script{name: script}, func(o *kernels.Options) {
				o.ShutdownWait = 200 * time.Millisecond
			})
			k := startReady(t, m, name)
			c := attach(t, k, "s")
			pid, err := strconv.Atoi(strings.TrimSpace(c.run("pid").streams("stdout")))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Shutdown(t.Context(), k.ID()); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("the process still runs after Shutdown (%v)", err)
			}
			if _, err := m.Kernel(k.ID()); !errors.Is(err, kernels.ErrNoSuchKernel) || len(m.Kernels()) != 0 {
				t.Errorf("Kernel after Shutdown = %v", err)
			}
			if err := m.Shutdown(t.Context(), k.ID()); !errors.Is(err, kernels.ErrNoSuchKernel) {
				t.Errorf("second Shutdown = %v, want ErrNoSuchKernel", err)
			}
			if _, err := k.Attach(kernels.AttachOptions{SessionID: "s"}); !errors.Is(err, kernels.ErrNoSuchKernel) {
				t.Errorf("Attach after Shutdown = %v, want ErrNoSuchKernel", err)
			}
			for err == nil {
				_, err = c.Recv(t.Context())
			}
			if !errors.Is(err, kernels.ErrNoSuchKernel) {
				t.Errorf("Recv after Shutdown = %v, want ErrNoSuchKernel", err)
			}
		})
	}
}

func TestShutdownWhileStarting(t *testing.T) {
	m := newManager(t, map[string]kerneltest.Script{"late": {LateBind: time.Hour}})
	k := start(t, m, "late")
	if err := m.Shutdown(t.Context(), k.ID()); err != nil {
		t.Fatal(err)
	}
	if err := k.Ready(t.Context()); !errors.Is(err, kernels.ErrNoSuchKernel) {
		t.Errorf("Ready = %v, want ErrNoSuchKernel", err)
	}
}

func TestAutorestart(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	c.execute("print last words\nexit 3")
	waiting := c.execute("print never")
	if got := c.until("stream", "").text("text"); got != "last words\n" {
		t.Errorf("stream = %q, want what the kernel wrote before it died", got)
	}
	if o := c.finish(waiting); o.reply.text("status") != "aborted" {
		t.Errorf("reply to a request that the kernel never read = %v, want aborted", o.reply.content)
	}
	status := c.until("status", "")
	for status.text("execution_state") != "restarting" {
		status = c.until("status", "")
	}
	if status.parent.MsgID != "" {
		t.Errorf("restarting has parent %v, want none", status.parent)
	}
	if got := c.run("print again").streams("stdout"); got != "again\n" {
		t.Errorf("stdout after the restart = %q", got)
	}
	waitState(t, k, kernels.Idle)
}

func TestLastOutputOfADyingKernelArrives(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	c.execute("spam 3000 1000\nexit 3")
	streams := 0
	for {
		r := c.recv()
		if r.header.MsgType == "stream" {
			streams++
		}
		if r.text("execution_state") == "restarting" {
			break
		}
	}
	if streams != 3000 {
		t.Errorf("%d of 3000 messages arrived before the restart", streams)
	}
}

func TestKernelThatKeepsDyingIsDead(t *testing.T) {
	m := newManager(t, map[string]kerneltest.Script{"broken": {ExitAtOnce: 7, Complaint: "no license\n"}})
	k := start(t, m, "broken")
	c := attach(t, k, "s")
	restarts, reason := 0, ""
	for {
		r := c.recv()
		state := r.text("execution_state")
		if r.header.MsgType == "stream" {
			reason = r.text("text")
		}
		if state == "restarting" {
			restarts++
		}
		if state == "dead" {
			break
		}
	}
	if restarts != kernels.DefaultRestartLimit {
		t.Errorf("%d restarts, want %d", restarts, kernels.DefaultRestartLimit)
	}
	if !strings.Contains(reason, "exit status 7") || !strings.Contains(reason, "no license") {
		t.Errorf("reason = %q, want the status and the kernel's output", reason)
	}
	waitFor(t, "the kernel to vanish", func() bool { return len(m.Kernels()) == 0 })
	if got := k.Model(); got.ExecutionState != kernels.Dead || !strings.Contains(got.Reason, "exit status 7") {
		t.Errorf("Model = %+v, want it dead with a reason", got)
	}
	if _, err := c.Recv(t.Context()); !errors.Is(err, kernels.ErrNoSuchKernel) {
		t.Errorf("Recv = %v, want ErrNoSuchKernel", err)
	}
}

func TestTakenPortIsTriedAgainSilently(t *testing.T) {
	file := filepath.Join(t.TempDir(), "failed")
	m := newManager(t, map[string]kerneltest.Script{"racy": {FailOnce: file, Complaint: "ZMQError: Address already in use\n"}})
	k := start(t, m, "racy")
	c := attach(t, k, "s")
	id := c.execute("print up")
	for {
		r := c.recv()
		if r.text("execution_state") == "restarting" {
			t.Error("the client was told of a restart")
		}
		if r.parent.MsgID == id && r.header.MsgType == "stream" {
			return
		}
	}
}

func TestLostConnectionIsMadeAgain(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	pid := c.run("pid").streams("stdout")
	c.execute("huge-frame")
	// Depending on how far the loss was noticed, a request is refused, aborted with the old connection, or answered.
	waitFor(t, "the kernel to answer again", func() bool {
		id, err := c.try(wire.Shell, "execute_request", code("pid"))
		return err == nil && c.finish(id).streams("stdout") == pid
	})
}

func TestForgedMessagesAreDropped(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	o := attach(t, k, "s").run("bad-signature\nprint true")
	if got := o.streams("stdout"); got != "true\n" {
		t.Errorf("stdout = %q, want the signed message alone", got)
	}
}

func TestSendRefusesWhatIsNoRequest(t *testing.T) {
	m := newManager(t, healthy())
	k := startReady(t, m, "fake")
	c := attach(t, k, "s")
	for name, msg := range map[string]wire.Message{
		"iopub":      {Channel: wire.IOPub, Header: []byte(`{"msg_id":"1"}`)},
		"no channel": {Header: []byte(`{"msg_id":"1"}`)},
		"no id":      {Channel: wire.Shell, Header: []byte(`{}`)},
		"no header":  {Channel: wire.Shell, Header: []byte(`[1]`)},
	} {
		if err := c.Send(t.Context(), msg); !errors.Is(err, kernels.ErrInvalid) {
			t.Errorf("%s: Send = %v, want ErrInvalid", name, err)
		}
	}
}

func TestErrorsHaveKinds(t *testing.T) {
	for err, want := range map[error]int{
		kernels.ErrNoSuchKernel: 404, kernels.ErrNoSuchSession: 404, kernels.ErrNoSuchSpec: 501, kernels.ErrDuplicate: 409,
		kernels.ErrInvalid: 400, kernels.ErrStarting: 409, kernels.ErrClosed: 503,
	} {
		if got := fs.Status(fmt.Errorf("wrapped: %w: x", err)); got != want {
			t.Errorf("Status(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestEvents(t *testing.T) {
	var mu sync.Mutex
	var got []string
	m := newManager(t, healthy(), func(o *kernels.Options) {
		o.Events = func(e kernels.Event) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, string(e.Action)+" "+e.KernelName+" "+e.Status)
		}
	})
	k := startReady(t, m, "fake")
	for _, act := range []func(context.Context, string) error{m.Interrupt, m.Restart, m.Shutdown} {
		if err := act(t.Context(), k.ID()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Start(t.Context(), kernels.StartRequest{Name: "nope"}); err == nil {
		t.Error("Start(nope) = nil error")
	}
	want := []string{"start fake success", "interrupt fake success", "restart fake success", "shutdown fake success", "start nope error"}
	if !slices.Equal(got, want) {
		t.Errorf("events = %q, want %q", got, want)
	}
}

// descriptors counts the open files of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestNothingLeaks(t *testing.T) {
	m := newManager(t, healthy())
	cycle := func() {
		k := startReady(t, m, "fake")
		for i := range 20 {
			c := attach(t, k, strconv.Itoa(i))
			c.run("print x")
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Restart(t.Context(), k.ID()); err != nil {
			t.Fatal(err)
		}
		if err := m.Shutdown(t.Context(), k.ID()); err != nil {
			t.Fatal(err)
		}
	}
	cycle() // whatever is made once is made now
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	for range 3 {
		cycle()
	}
	waitFor(t, "goroutines and descriptors to be as before", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= fds
	})
}

func TestCloseEndsEverything(t *testing.T) {
	opts := quick(provider(t, map[string]kerneltest.Script{"fake": {}, "late": {LateBind: time.Hour}}, ""))
	m := kernels.New(opts)
	for _, name := range []string{"fake", "fake", "late"} {
		start(t, m, name)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Kernels(); len(got) != 0 {
		t.Errorf("%d kernels after Close", len(got))
	}
	if _, err := m.Start(t.Context(), kernels.StartRequest{Name: "fake"}); !errors.Is(err, kernels.ErrClosed) {
		t.Errorf("Start after Close = %v, want ErrClosed", err)
	}
}
