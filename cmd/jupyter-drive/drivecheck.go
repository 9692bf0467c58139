package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func (a *app) driveCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check [NAME...]", Short: "List, write, read and remove in each drive, with times",
		Long: "List, write, read and remove in each drive, with times. A bucket is tried by the daemon if one runs, with the keys that it was started\n" +
			"with, else with the keys of this shell; the answer says which.",
		Example: "  jupyter-drive drive check\n  jupyter-drive drive check data --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = c.driveNames()
			}
			return a.driveCheck(cmd.Context(), c, args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkResult is what `drive check --json` prints of a drive.
type checkResult struct {
	Drive        string      `json:"drive"`
	Error        string      `json:"error,omitempty"`
	Milliseconds int64       `json:"ms"`
	Keys         string      `json:"keys,omitempty"`  // whose keys were tried: keysOfDaemon or keysOfShell; of a bucket
	Steps        []checkStep `json:"steps,omitempty"` // of a bucket
}

// Who has tried a bucket.
const (
	keysOfDaemon = "daemon"
	keysOfShell  = "shell"
)

// checkStep is one thing that was tried.
type checkStep struct {
	Step         string `json:"step"` // "list", "write", "read", "conditions", "clock", "remove"
	Note         string `json:"note,omitempty"`
	Error        string `json:"error,omitempty"`
	Hint         string `json:"hint,omitempty"` // what to do
	Milliseconds int64  `json:"ms"`

	code    int
	passing bool // whether what failed may be mended with the drive as it was described
}

func (a *app) driveCheck(ctx context.Context, c *config, names []string, asJSON bool) error {
	var results []checkResult
	bad := 0
	for _, name := range names {
		d, ok := c.Drives[name]
		if !ok {
			return fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", name)
		}
		r := a.checkDrive(ctx, name, d)
		if r.Error != "" {
			bad++
		}
		results = append(results, r)
	}
	if asJSON {
		if err := json.NewEncoder(a.stdout).Encode(map[string]any{"checks": results}); err != nil {
			return err
		}
	} else {
		a.writeChecks(results)
	}
	if bad > 0 {
		return fail(exitUnhealthy, "%d of %s failed the check", bad, count(len(names), "drive"))
	}
	return nil
}

func (a *app) checkDrive(ctx context.Context, name string, d driveConfig) checkResult {
	r := checkResult{Drive: name}
	start := time.Now()
	if d.isBucket() {
		r.Steps, r.Keys = a.checkSteps(ctx, name, d)
		for _, s := range r.Steps {
			if s.Error != "" && r.Error == "" {
				r.Error = s.Step + ": " + s.Error
			}
		}
	} else if _, err := checkLocal(ctx, a, d); err != nil {
		r.Error = err.Error()
	}
	r.Milliseconds = time.Since(start).Milliseconds()
	return r
}

// checkSteps has the running daemon try a bucket: its keys are those that count. Without one
// that has the same drive this process tries it.
func (a *app) checkSteps(ctx context.Context, name string, d driveConfig) (steps []checkStep, keys string) {
	query := url.Values{"drive": {name}, "url": {d.URL}}
	if err := a.env.ask(ctx, "POST", "/check?"+query.Encode(), &steps); err == nil {
		return steps, keysOfDaemon
	}
	return checkBucket(ctx, a.env, d, a.checkLog()), keysOfShell
}

// checkLog is where a check of this process logs: nowhere unless more than its steps is asked for.
func (a *app) checkLog() *slog.Logger {
	if !a.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// check tries a bucket that the configuration has by now, whether it is in the tree or not.
func (d *daemon) check(ctx context.Context, query url.Values) ([]checkStep, error) {
	cfg, err := d.app.config()
	if err != nil {
		return nil, err
	}
	c, ok := cfg.Drives[query.Get("drive")]
	if !ok || !c.isBucket() || c.URL != query.Get("url") {
		return nil, fail(exitNotFound, "this daemon has another configuration")
	}
	return checkBucket(ctx, d.env, c, d.log.With("drive", query.Get("drive"))), nil
}

func (a *app) writeChecks(results []checkResult) {
	for _, r := range results {
		state := "ok"
		if r.Error != "" {
			state = "FAIL " + r.Error
		}
		with := map[string]string{keysOfDaemon: ", with the running daemon's keys", keysOfShell: ", with this shell's keys"}[r.Keys]
		fmt.Fprintf(a.stdout, "%s  %s (%d ms%s)\n", r.Drive, state, r.Milliseconds, with)
		for _, s := range r.Steps {
			a.writeStep(s)
		}
	}
}

func (a *app) writeStep(s checkStep) {
	state := "ok"
	if s.Error != "" {
		state = "FAIL " + s.Error
	}
	if s.Note != "" {
		state += "  " + s.Note
	}
	fmt.Fprintf(a.stdout, "  %-10s %5d ms  %s\n", s.Step, s.Milliseconds, state)
	if s.Hint != "" {
		fmt.Fprintf(a.stdout, "  %-10s           %s\n", "", s.Hint)
	}
}

// Steps that are told apart.
const (
	stepConfigure = "configure" // what comes before the first request
	stepClock     = "clock"
)

// checkLimit is how long one step may take.
const checkLimit = 30 * time.Second

// checkBucket tries a bucket on a key of its own, step by step, up to the first that fails.
func checkBucket(ctx context.Context, env environment, c driveConfig, log *slog.Logger) []checkStep {
	b, err := openBucket(ctx, env, c, "", log)
	if err != nil {
		return []checkStep{failedStep(stepConfigure, err)}
	}
	defer func() { _ = b.Close() }() // nothing is under way
	k := &bucketCheck{b: b, key: fs.ReservedName + "/check/" + newToken()[:16], text: []byte("jupyter-drive drive check " + newToken())}
	steps := []struct {
		name string
		do   func(context.Context) (note string, err error)
	}{
		{"list", k.list}, {"write", k.write}, {"read", k.read}, {"conditions", k.conditions}, {stepClock, k.clock}, {"remove", k.remove},
	}
	if c.readOnly() {
		steps = steps[:1]
	}
	var all []checkStep
	for _, s := range steps {
		done := runStep(ctx, s.name, s.do)
		all = append(all, done)
		if done.Error != "" {
			break
		}
	}
	if k.written {
		_, _ = k.remove(context.WithoutCancel(ctx)) // a step before has failed, and was told
	}
	return all
}

func runStep(ctx context.Context, name string, do func(context.Context) (string, error)) checkStep {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	start := time.Now()
	note, err := do(ctx)
	s := checkStep{Step: name, Note: note}
	if err != nil {
		s = failedStep(name, err)
	}
	s.Milliseconds = time.Since(start).Milliseconds()
	return s
}

func failedStep(name string, err error) checkStep {
	return checkStep{Step: name, Error: stepError(name, err), Hint: hintFor(name, err), code: exitCodeOf(err), passing: mayPass(name, err)}
}

// mayPass reports whether what a step failed of may be mended outside, as a store that is away or rights that are missing. What cannot be
// is a description without which there is no drive, and a store that is not what a drive needs.
func mayPass(step string, err error) bool {
	if step == stepConfigure {
		return false
	}
	//exhaustive:ignore
	switch fs.KindOf(err) {
	case fs.Unavailable, fs.Timeout, fs.Throttled, fs.Busy, fs.Credentials, fs.Permission, fs.NotPermitted, fs.NotExist, fs.Quota, fs.NoSpace:
		return true
	}
	return step == stepClock
}

// stepError returns an error's text without what is told beside it: what to do, and the step. The key is the check's own then.
func stepError(step string, err error) string {
	var e *fs.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	plain := *e
	plain.Hint = ""
	if plain.Op == step || step == stepConfigure {
		plain.Op, plain.Path = "", ""
	}
	return plain.Error()
}

// hintFor says what to do about a failed step.
func hintFor(step string, err error) string {
	var e *fs.Error
	if errors.As(err, &e) && e.Hint != "" {
		return e.Hint
	}
	//exhaustive:ignore
	switch fs.KindOf(err) {
	case fs.Credentials:
		return "Check the credentials: aws sts get-caller-identity; set --profile, the AWS_* variables, or --anonymous for a public bucket."
	case fs.Permission, fs.NotPermitted:
		return "The credentials may not do this; docs/drives.md has the smallest policy that is needed. For reading only: --read-only."
	case fs.NotExist:
		return "There is no such bucket at this endpoint; check its name, --region and --endpoint."
	case fs.Unavailable, fs.Timeout, fs.Throttled:
		return "The store did not answer; check --endpoint, the network and proxies, and try again. With a store of your own also --path-style."
	case fs.Conflict, fs.Unsupported:
		return "The store does not keep what it says; it can still be used with --read-only."
	}
	if step == "list" {
		return "Check --region, --endpoint and --path-style."
	}
	return "Try again with --verbose, and see docs/troubleshooting.md."
}

// bucketCheck is a check under way.
type bucketCheck struct {
	b       *s3.Backend
	key     string
	text    []byte
	info    fs.Info
	wrote   time.Time
	written bool
}

func (k *bucketCheck) list(ctx context.Context) (string, error) {
	page, err := k.b.List(ctx, "", fs.ListOptions{Max: 10})
	if err != nil && fs.KindOf(err) == fs.NotExist {
		// A prefix under which nothing is yet.
		if _, stat := k.b.Stat(ctx, k.key); fs.KindOf(stat) == fs.NotExist {
			return "empty", nil
		}
	}
	if err != nil {
		return "", err
	}
	if len(page.Infos) == 0 {
		return "empty", nil
	}
	return "", nil
}

func (k *bucketCheck) write(ctx context.Context) (string, error) {
	k.wrote = time.Now()
	w, err := k.b.Write(ctx, k.key, fs.WriteOptions{Size: int64(len(k.text)), Cond: fs.Cond{IfAbsent: true}})
	if err != nil {
		return "", err
	}
	if _, err := w.Write(k.text); err != nil {
		return "", errors.Join(err, w.Abort())
	}
	k.info, err = w.Commit(ctx)
	k.written = err == nil
	return "", err
}

func (k *bucketCheck) read(ctx context.Context) (string, error) {
	r, err := k.b.Read(ctx, k.key, fs.ReadOptions{IfVersion: k.info.Version})
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return "", err
	}
	if !bytes.Equal(got, k.text) {
		return "", &fs.Error{Op: "read", Path: k.key, Kind: fs.Checksum}
	}
	return "", nil
}

// conditions asks whether two writers can overwrite each other.
func (k *bucketCheck) conditions(ctx context.Context) (string, error) {
	caps, err := k.b.Probe(ctx)
	if err != nil {
		return "", err
	}
	if caps.CondWrite != fs.Atomic {
		return "the store ignores conditions on writes: changes by others at the same moment can be overwritten", nil
	}
	return "", nil
}

// clockLimit is how far the clocks of store and machine may be apart before requests are refused somewhere.
const clockLimit = 5 * time.Minute

func (k *bucketCheck) clock(ctx context.Context) (string, error) {
	info, err := k.b.Stat(ctx, k.key)
	if err != nil {
		return "", err
	}
	apart := k.wrote.Sub(info.Stored)
	if apart.Abs() > clockLimit {
		return "", &fs.Error{Op: "compare clocks", Kind: fs.Invalid,
			Err:  fmt.Errorf("this machine's clock is %s %s the store's", apart.Abs().Round(time.Second), aheadOrBehind(apart)),
			Hint: "Set the clock of this machine (timedatectl set-ntp true); stores refuse requests that are 15 minutes off."}
	}
	return strings.TrimSpace(fmt.Sprintf("%s apart", apart.Abs().Round(time.Second))), nil
}

func aheadOrBehind(d time.Duration) string {
	if d > 0 {
		return "ahead of"
	}
	return "behind"
}

func (k *bucketCheck) remove(ctx context.Context) (string, error) {
	err := k.b.Remove(ctx, k.key, fs.RemoveOptions{})
	if err == nil {
		k.written = false
	}
	return "", err
}
