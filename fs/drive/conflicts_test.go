package drive

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// conflicting is a drive with a conflict about the file f.
type conflicting struct {
	program
	o    Options
	copy string
}

// restart closes the drive, having made its journal short if checkpoint is set, and opens it again.
func (c *conflicting) restart(checkpoint bool) {
	c.t.Helper()
	if checkpoint {
		c.must("checkpoint", c.d.checkpoint(true))
	}
	c.must("Close", c.d.Close(c.ctx))
	c.o.ID = c.d.id
	c.d = open(c.t, c.o)
}

// told returns the conflicts that Status tells of, as text, and checks their time.
func (c *conflicting) told(since time.Time) string {
	var all []string
	for _, x := range c.d.Status().Conflicts {
		if d := x.Time.Sub(since); d < 0 || d > time.Minute {
			c.t.Errorf("the conflict is of %v, %v after the beginning", x.Time, d)
		}
		all = append(all, x.Path+" "+x.Copy)
	}
	return strings.Join(all, ", ")
}

// TestConflictsStay restarts a drive with a conflict: it is told of until somebody has seen to it.
func TestConflictsStay(t *testing.T) {
	remove := func(c *conflicting) { c.remove(c.copy) }
	acknowledge := func(c *conflicting) {
		n, err := nodeAt(c.ctx, c.d, c.copy)
		c.must("Lookup", err)
		c.must("RemoveXattr", n.(fs.Xattrer).RemoveXattr(c.ctx, "user.jupyter-drive.conflict"))
		if _, err := n.(fs.Xattrer).Xattr(c.ctx, "user.jupyter-drive.conflict"); fs.KindOf(err) != fs.NoAttr {
			c.t.Errorf("the attribute is there still: %v", err)
		}
		if err := n.(fs.Xattrer).RemoveXattr(c.ctx, "user.jupyter-drive.conflict"); fs.KindOf(err) != fs.NoAttr {
			c.t.Errorf("it is removed a second time: %v", err)
		}
	}
	moved := func(c *conflicting) { c.rename(c.copy, "resolved"); c.copy = "resolved" }
	saved := func(c *conflicting) {
		_, err := c.d.Replace(c.ctx, c.copy, strings.NewReader("merged"), fs.ReplaceOptions{})
		c.must("Replace", err)
	}
	for _, x := range []struct {
		name string
		do   func(*conflicting)
		ends bool
	}{
		{"nothing", func(*conflicting) {}, false},
		{"the copy is moved", moved, false},
		{"the copy is saved anew", saved, false},
		{"the copy is removed", remove, true},
		{"it is acknowledged", acknowledge, true},
		{"the copy is removed by others", func(c *conflicting) {
			c.must("Remove", c.d.backend.Remove(c.ctx, c.copy, fs.RemoveOptions{}))
			time.Sleep(time.Minute)
			_, err := treeOf(c.ctx, c.d)
			c.must("List", err)
		}, true},
	} {
		for _, checkpoint := range []bool{false, true} {
			t.Run(fmt.Sprint(x.name, ", checkpoint ", checkpoint), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := mem.NewBackend(mem.BackendOptions{})
					c := &conflicting{o: Options{Backend: b, State: t.TempDir()}}
					c.program = program{t, t.Context(), open(t, c.o)}
					begin := time.Now()
					c.write("f", []byte("ours"), false)
					b.Inject("f", []byte("theirs"), fs.WriteOptions{})
					c.must("Wait", c.d.Wait(c.ctx))
					c.copy = c.d.Status().Conflicts[0].Copy
					time.Sleep(time.Hour)
					c.restart(checkpoint)
					if got, want := c.told(begin), "f "+c.copy; got != want {
						t.Errorf("after a restart there is the conflict %q, want %q", got, want)
					}
					x.do(c)
					want := "f " + c.copy
					if x.ends {
						want = ""
					}
					if got := c.told(begin); got != want {
						t.Errorf("there is the conflict %q, want %q", got, want)
					}
					c.must("Wait", c.d.Wait(c.ctx))
					c.restart(checkpoint)
					if got := c.told(begin); got != want {
						t.Errorf("after another restart there is the conflict %q, want %q", got, want)
					}
					c.must("Close", c.d.Close(c.ctx))
				})
			})
		}
	}
}

// TestLogNamesDriveOnce looks at what a drive logs with a logger that names it.
func TestLogNamesDriveOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		var log strings.Builder
		p := program{t, t.Context(), open(t, Options{Backend: b, Logger: slog.New(slog.NewTextHandler(&log, nil)).With("drive", "data")})}
		p.write("f", []byte("ours"), false)
		b.Inject("f", []byte("theirs"), fs.WriteOptions{})
		p.must("Wait", p.d.Wait(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
		for line := range strings.Lines(log.String()) {
			if strings.Count(line, " drive=") != 1 {
				t.Errorf("logged: %s", line)
			}
		}
		if log.Len() == 0 {
			t.Error("a conflict is not logged")
		}
	})
}
