package kernels_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// python returns an interpreter with ipykernel: the one that JUPYTER_DRIVE_TEST_PYTHON names, or the one in the
// virtual environment that the Makefile makes.
func python(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("JUPYTER_DRIVE_TEST_PYTHON"); path != "" {
		return path
	}
	path, err := filepath.Abs("../.cache/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no interpreter with ipykernel: set JUPYTER_DRIVE_TEST_PYTHON or run make for .cache/venv")
	}
	return path
}

// startPython starts a real ipykernel.
func startPython(t testing.TB) (*kernels.Manager, *kernels.Kernel) {
	t.Helper()
	opts := quick(provider(t, nil, python(t)))
	opts.Nudge = kernels.DefaultNudge
	opts.ShutdownWait = kernels.DefaultShutdownWait
	m := manage(t, opts)
	k, err := m.Start(t.Context(), kernels.StartRequest{Dir: t.TempDir()})
	if err != nil {
		t.Skip("ipykernel cannot be started: " + err.Error())
	}
	return m, k
}

func TestIPyKernel(t *testing.T) {
	m, k := startPython(t)
	c := attach(t, k, "s")

	t.Run("kernel_info", func(t *testing.T) {
		o := c.finish(c.send(wire.Shell, "kernel_info_request", struct{}{}))
		if got := o.reply.text("implementation"); got != "ipython" {
			t.Errorf("implementation = %q, want ipython", got)
		}
	})
	t.Run("streams", func(t *testing.T) {
		o := c.run("import sys\nprint('out')\nprint('err', file=sys.stderr)")
		if o.streams("stdout") != "out\n" || o.streams("stderr") != "err\n" {
			t.Errorf("stdout %q, stderr %q", o.streams("stdout"), o.streams("stderr"))
		}
	})
	t.Run("execute_result", func(t *testing.T) {
		data, _ := c.run("6 * 7").first("execute_result").content["data"].(map[string]any)
		if data["text/plain"] != "42" {
			t.Errorf("result = %v, want 42", data)
		}
	})
	t.Run("display_data", func(t *testing.T) {
		o := c.run("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))")
		data, _ := o.first("display_data").content["data"].(map[string]any)
		if data["text/html"] != "<b>x</b>" {
			t.Errorf("display_data = %v", data)
		}
	})
	t.Run("error", func(t *testing.T) {
		o := c.run("1 / 0")
		if o.reply.text("status") != "error" || o.first("error").text("ename") != "ZeroDivisionError" {
			t.Errorf("reply = %v", o.reply.content)
		}
	})
	t.Run("clear_output", func(t *testing.T) {
		if o := c.run("from IPython.display import clear_output\nclear_output()"); o.first("clear_output").content == nil {
			t.Errorf("messages = %v, want a clear_output", o.messages)
		}
	})
	t.Run("requests", func(t *testing.T) {
		for msgType, content := range map[string]any{
			"complete_request":    map[string]any{"code": "impor", "cursor_pos": 5},
			"inspect_request":     map[string]any{"code": "print", "cursor_pos": 5, "detail_level": 0},
			"is_complete_request": map[string]any{"code": "for x in y:"},
			"comm_info_request":   struct{}{},
			"history_request":     map[string]any{"hist_access_type": "tail", "n": 1, "output": false, "raw": true},
		} {
			o := c.finish(c.send(wire.Shell, msgType, content))
			if got := o.reply.header.MsgType; got != strings.TrimSuffix(msgType, "_request")+"_reply" {
				t.Errorf("reply to %s is a %s", msgType, got)
			}
		}
	})
	t.Run("input", func(t *testing.T) {
		id := c.execute("print('hello ' + input('who? '))")
		if got := c.until("input_request", id).text("prompt"); got != "who? " {
			t.Errorf("prompt = %q", got)
		}
		c.send(wire.Stdin, "input_reply", map[string]string{"value": "Ada"})
		if got := c.finish(id).streams("stdout"); got != "hello Ada\n" {
			t.Errorf("stdout = %q", got)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		id := c.execute("print('go', flush=True)\nwhile True: pass")
		c.until("stream", id)
		if err := m.Interrupt(t.Context(), k.ID()); err != nil {
			t.Fatal(err)
		}
		if o := c.finish(id); o.reply.text("ename") != "KeyboardInterrupt" {
			t.Errorf("reply = %v, want a KeyboardInterrupt", o.reply.content)
		}
	})
	t.Run("environment", func(t *testing.T) {
		o := c.run("import os, sys\nprint('' in sys.path, os.getcwd() not in sys.path[1:], sys.argv[1:2])")
		if got := o.streams("stdout"); !strings.Contains(got, "['-f']") {
			t.Errorf("python sees %q", got)
		}
	})
	t.Run("restart", func(t *testing.T) {
		c.run("x = 1")
		if err := m.Restart(t.Context(), k.ID()); err != nil {
			t.Fatal(err)
		}
		if o := c.run("x"); o.reply.text("ename") != "NameError" {
			t.Errorf("reply = %v, want a NameError", o.reply.content)
		}
	})
	t.Run("death", func(t *testing.T) {
		id := c.execute("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
		if o := c.finish(id); o.reply.text("status") != "aborted" {
			t.Errorf("reply = %v, want aborted", o.reply.content)
		}
		if got := c.run("print('back')").streams("stdout"); got != "back\n" {
			t.Errorf("stdout after the restart = %q", got)
		}
	})
	t.Run("shutdown", func(t *testing.T) {
		begin := time.Now()
		if err := m.Shutdown(t.Context(), k.ID()); err != nil {
			t.Fatal(err)
		}
		t.Logf("shutdown took %v", time.Since(begin))
	})
}

// TestIPyKernelLosesNothing publishes far more messages than ZeroMQ queues by default, faster than they are read.
func TestIPyKernelLosesNothing(t *testing.T) {
	_, k := startPython(t)
	c := attach(t, k, "s")
	const n = 10_000
	id := c.execute(`
from IPython import get_ipython
k = get_ipython().kernel
for i in range(10_000):
    k.session.send(k.iopub_socket, "display_data", {"data": {"text/plain": str(i)}, "metadata": {}}, parent=k.get_parent())
`)
	got := 0
	for _, m := range c.finish(id).messages {
		if m.header.MsgType == "display_data" {
			got++
		}
	}
	if got != n {
		t.Errorf("%d of %d messages arrived", got, n)
	}
}
