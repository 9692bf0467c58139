package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// leftover is what a store does not have yet of a drive.
type leftover struct {
	drive   string // its name
	state   string // the folder of its journal, where all of it is kept
	changes int
	bytes   int64
}

// String is how much it is.
func (l leftover) String() string {
	return count(l.changes, "change") + " (" + sizeText(l.bytes) + ")"
}

// pendingAt returns what a state folder has that its store has not. No daemon may use the folder.
func pendingAt(ctx context.Context, id fs.DriveID, state string) (leftover, error) {
	opened, err := drive.Open(ctx, drive.Options{ID: id, Backend: away{}, State: state, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return leftover{}, err
	}
	s := opened.Status()
	return leftover{state: state, changes: s.Pending, bytes: s.Bytes}, opened.Close(ctx)
}

// leftovers returns what the stores of a running daemon do not have yet.
func (s status) leftovers() (list []leftover) {
	for _, d := range s.Drives {
		if d.Store != nil && d.Store.Pending > 0 {
			list = append(list, leftover{drive: d.Name, state: d.Store.State, changes: d.Store.Pending, bytes: d.Store.Bytes})
		}
	}
	return list
}

// tellLeftovers says, one drive a line, what is not uploaded and what becomes of it.
func tellLeftovers(list []leftover) string {
	var b strings.Builder
	for _, l := range list {
		fmt.Fprintf(&b, "Kept     %s of drive %s, not uploaded yet, in the journal on this machine (%s); uploading goes on at the next start\n", l, l.drive, l.state)
	}
	return b.String()
}

// endLeftovers tells, before the drives end, what their stores do not have. By then nothing is written any more.
func (d *daemon) endLeftovers(ctx context.Context) error {
	_, err := fmt.Fprint(d.app.stderr, tellLeftovers(d.status(ctx).leftovers()))
	return err
}

// flush uploads what is pending without delay, and returns when all of it is uploaded or ctx ends.
func (d *daemon) flush(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, name := range d.tree.Drives() {
		if b, ok := d.backlogOf(name); ok {
			wg.Go(func() { _ = b.Wait(ctx) }) // the asker looks at what is left
		}
	}
	wg.Wait()
	return nil
}

// downTimeout is how long down waits for uploads unless told otherwise.
const downTimeout = time.Minute

func (a *app) downCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "down", Short: "Upload what is pending, stop kernels, unmount and end the daemon", Args: cobra.NoArgs,
		Long: "Ends the daemon in order: what is pending is uploaded, kernels are stopped, the mount is taken away. Uploads have --timeout to\n" +
			"be finished. What is left then, or when a store does not answer, is kept on this machine and goes up at the next start; the exit\n" +
			"code is 12. Ctrl-C while it waits leaves the daemon running.",
		Example: "  jupyter-drive down\n  jupyter-drive down --timeout 10m\n  jupyter-drive down --timeout 0",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.down(cmd.Context(), timeout) },
	}
	cmd.Flags().DurationVar(&timeout, "timeout", downTimeout, "how long to wait for uploads; 0 ends at once")
	return cmd
}

func (a *app) down(ctx context.Context, timeout time.Duration) error {
	var s status
	if err := a.env.ask(ctx, "GET", "/status", &s); err != nil {
		return err
	}
	if timeout > 0 {
		if err := a.awaitUploads(ctx, &s, timeout); err != nil {
			return err
		}
	}
	if err := a.env.ask(ctx, "POST", "/stop", nil); err != nil {
		return err
	}
	if err := waitUnlocked(a.env.stateDir(), 3*shutdownLimit); err != nil {
		return err
	}
	left := leftAfter(ctx, s)
	fmt.Fprintf(a.stderr, "%sStopped.\n", tellLeftovers(left))
	if len(left) > 0 {
		return &exitError{exitUnflushed, errors.New("")} // it was told
	}
	return nil
}

// uploadsEvery is how often down looks how far uploads are.
const uploadsEvery = time.Second

// awaitUploads waits until nothing is pending, for the time given at most, and no longer for stores that take nothing. It leaves the
// daemon's last status in s.
func (a *app) awaitUploads(ctx context.Context, s *status, timeout time.Duration) error {
	if len(s.leftovers()) == 0 {
		return nil
	}
	p := a.newProgress()
	p.next = time.Time{} // what it waits for is told at once
	defer p.end()
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.env.ask(wait, "POST", "/flush", nil) }() // ends with wait
	tick := time.NewTicker(uploadsEvery)
	defer tick.Stop()
	for s.worthWaiting() {
		p.tell(uploadsText(s.leftovers()))
		var flushed bool
		select {
		case <-tick.C:
		case err := <-done: // what it could not do is seen in what is left
			flushed = err == nil || wait.Err() != nil
		}
		if ctx.Err() != nil {
			return fail(exitInterrupted, "interrupted; the daemon still runs and uploads. To end it without waiting: jupyter-drive down --timeout 0")
		}
		*s = status{}
		if err := a.env.ask(ctx, "GET", "/status", s); err != nil || flushed {
			return err
		}
	}
	return nil
}

// worthWaiting reports whether a store may soon take something that is pending.
func (s status) worthWaiting() bool {
	return slices.ContainsFunc(s.Drives, func(d driveStatus) bool { return d.Store != nil && d.Store.worthWaiting() })
}

// worthWaiting is false when nothing is pending, and when the store has been asked for each change and took none: twice, or once if it
// does not answer at all.
func (s *storeStatus) worthWaiting() bool {
	if s.Pending == 0 || len(s.Errors) < min(s.Pending, maxErrors) {
		return s.Pending > 0
	}
	return !s.Offline && slices.ContainsFunc(s.Errors, func(e storeTrouble) bool { return e.Tries < 2 })
}

// maxErrors is how many a status names of a drive at most.
const maxErrors = 100

func uploadsText(list []leftover) string {
	var parts []string
	for _, l := range list {
		parts = append(parts, fmt.Sprintf("%s of drive %s", l, l.drive))
	}
	return "Uploading " + strings.Join(parts, ", ") + " …"
}

// leftAfter returns what the stores of a daemon that has ended do not have, by its last status and what its state folders hold.
func leftAfter(ctx context.Context, last status) (list []leftover) {
	for _, d := range last.Drives {
		if d.Store == nil {
			continue
		}
		l := leftover{drive: d.Name, state: d.Store.State, changes: d.Store.Pending, bytes: d.Store.Bytes}
		if id, err := fs.ParseDriveID(filepath.Base(l.state)); err == nil {
			if now, err := pendingAt(ctx, id, l.state); err == nil { // else the next daemon has it already
				l.changes, l.bytes = now.changes, now.bytes
			}
		}
		if l.changes > 0 {
			list = append(list, l)
		}
	}
	return list
}
