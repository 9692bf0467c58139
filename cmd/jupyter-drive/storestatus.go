package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// storeStatus is how far an object store is behind its drive.
type storeStatus struct {
	Pending   int       `json:"pending"`          // changes that the store does not have yet
	Bytes     int64     `json:"pending_bytes"`    // of contents among them
	Oldest    time.Time `json:"oldest,omitzero"`  // since when the first of them waits
	Uploading int       `json:"uploading"`        // requests under way
	Staged    int64     `json:"staged_bytes"`     // on this machine's disk
	Cached    int64     `json:"cached_bytes"`     // of what was read
	LocalOnly int       `json:"local_only"`       // files that are never uploaded
	Hidden    int64     `json:"hidden,omitempty"` // keys that cannot be paths
	Offline   bool      `json:"offline"`          // the store did not answer a moment ago
	State     string    `json:"state"`            // the folder of its journal: what is not uploaded is there

	Errors    []storeTrouble  `json:"errors,omitempty"`
	Conflicts []storeConflict `json:"conflicts,omitempty"` // that nobody has seen to
}

// storeTrouble is a change that could not be brought to the store yet.
type storeTrouble struct {
	Path  string    `json:"path"`
	Error string    `json:"error"`
	Tries int       `json:"tries"`
	Next  time.Time `json:"next"`
}

// storeConflict is a file that was changed here and in the store: both are kept.
type storeConflict struct {
	Path string    `json:"path"`
	Copy string    `json:"copy"`
	Time time.Time `json:"time"`

	Partial bool  `json:"partial,omitempty"`    // bytes of the copy are gone
	Lost    int64 `json:"lost_bytes,omitempty"` // how many: zeros are in their place
}

// cacheStatus is the one cache of all object stores.
type cacheStatus struct {
	Limit  int64 `json:"limit"` // bytes
	Used   int64 `json:"used"`
	Files  int   `json:"files"`
	Hits   int64 `json:"hits"` // reads since the daemon has started
	Misses int64 `json:"misses"`
}

// addStore adds to a drive's status what is known of its store, and returns the problems.
func (d *daemon) addStore(s *driveStatus) (problems []problem) {
	b, ok := d.backlogOf(s.Name)
	if !ok {
		return nil
	}
	now := b.Status()
	s.Store = &storeStatus{
		Pending: now.Pending, Bytes: now.Bytes, Oldest: now.Oldest, Uploading: now.Uploading, Staged: now.Staged,
		LocalOnly: now.LocalOnly, Hidden: now.Hidden, Offline: now.Away != nil,
	}
	d.mu.Lock()
	cache, c := d.stores.cache, d.cfg.Drives[s.Name]
	d.mu.Unlock()
	if id, err := c.bucketID(); err == nil {
		s.Store.State = d.env.driveState(id)
		if cache != nil {
			s.Store.Cached = cache.Used(id.String())
		}
	}
	add := func(code, text string, severity fs.Severity) {
		problems = append(problems, problem{Code: code, Text: "drive " + s.Name + ": " + text, Severity: severityName(severity)})
	}
	switch { // a problem of its own would be told twice
	case now.Away != nil:
		s.State = fmt.Sprintf("offline for %v: %v", time.Since(now.AwaySince).Round(time.Second), now.Away)
	case now.Refused != nil:
		s.State = fmt.Sprintf("access denied: %v", now.Refused)
	}
	for _, t := range now.Troubles {
		s.Store.Errors = append(s.Store.Errors, storeTrouble{t.Path, t.Err.Error(), t.Tries, t.Next})
	}
	if n := len(now.Troubles); n > 0 && s.State == "ok" {
		t, which := now.Troubles[0], ", among them"
		if n == 1 {
			which = ":"
		}
		add("upload-"+s.Name, fmt.Sprintf("%s cannot be uploaded%s %s: %v. That is tried again; nothing is lost", count(n, "change"), which, t.Path, t.Err), fs.Medium)
	}
	for _, x := range now.Conflicts {
		s.Store.Conflicts = append(s.Store.Conflicts, storeConflict{x.Path, x.Copy, x.Time, x.Lost > 0, x.Lost})
		problems = append(problems, d.conflictProblem(s.Name, x))
	}
	return problems
}

// conflictProblem tells of a conflict in a drive and what to do about it.
func (d *daemon) conflictProblem(name string, x drive.Conflict) problem {
	code, severity, marked, what := "conflict-", fs.Low, x.Copy, "copy"
	text := fmt.Sprintf("%s was changed here and in the store; what was written here is in %s", x.Path, x.Copy)
	switch {
	case x.Copy == "":
		marked, what = x.Path, "folder again"
		text = fmt.Sprintf("the folder %s was removed here, and stays, since somebody else has put something into it", x.Path)
	case x.Lost > 0:
		code, severity = "partial-", fs.High
		text = fmt.Sprintf("a part of %s was changed here, and its other bytes are gone from the store: what was written is in %s, where zeros are in the place of %s",
			x.Path, x.Copy, sizeText(x.Lost))
	}
	run, place := "run", filepath.Join(d.mountpoint, marked)
	_, mount := d.present()
	switch {
	case mount == nil || d.opts.root != "" && d.opts.root != name: // it has no path on this machine
		run, place = "run where it is mounted", filepath.Join(name, marked)
	case d.opts.root == "":
		place = filepath.Join(d.mountpoint, name, marked)
	}
	text = fmt.Sprintf("drive %s: %s. Remove the %s, or %s: setfattr -x user.jupyter-drive.conflict %s", name, text, what, run, shellQuote(place))
	return problem{Code: code + name, Text: text, Severity: severityName(severity)}
}

// shellQuote writes a text as one word of a shell's command line.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// partial returns how many conflict copies have lost bytes.
func (s *storeStatus) partial() (n int) {
	for _, x := range s.Conflicts {
		if x.Partial {
			n++
		}
	}
	return n
}

// cacheStatus returns the state of the cache, nil if there are no object stores.
func (d *daemon) cacheStatus() (*cacheStatus, []problem) {
	d.mu.Lock()
	shared := d.stores
	d.mu.Unlock()
	if shared.err != nil {
		return nil, []problem{{Code: "cache", Severity: severityName(fs.Medium), Text: fmt.Sprintf(
			"the cache cannot be used, so that everything is fetched again each time: %v. Remove %s and start again", shared.err, d.env.cacheDir())}}
	}
	if shared.cache == nil {
		return nil, nil
	}
	s := shared.cache.Stats()
	return &cacheStatus{Limit: s.Limit, Used: s.Used, Files: s.Files, Hits: s.Hits, Misses: s.Misses}, nil
}

// writeStores tells how far object stores are behind.
func (a *app) writeStores(s status) {
	for _, d := range s.Drives {
		if d.Store != nil {
			fmt.Fprintf(a.stdout, "STORE %s   %s\n", d.Name, d.Store.text())
		}
	}
	if s.Cache != nil {
		fmt.Fprintf(a.stdout, "CACHE %s of %s, %s\n", sizeText(s.Cache.Used), sizeText(s.Cache.Limit), count(s.Cache.Files, "file"))
	}
}

func (s *storeStatus) text() string {
	text := "all uploaded"
	if s.Pending > 0 {
		text = fmt.Sprintf("%s to upload (%s), the first since %s, %d under way", count(s.Pending, "change"), sizeText(s.Bytes),
			time.Since(s.Oldest).Round(time.Second), s.Uploading)
	}
	text += "   " + sizeText(s.Cached) + " cached"
	for _, x := range []struct {
		n     int
		thing string
	}{{s.LocalOnly, "local file"}, {len(s.Errors), "error"}, {len(s.Conflicts), "conflict"}, {s.partial(), "partial file"}, {int(s.Hidden), "hidden key"}} {
		if x.n > 0 {
			text += "   " + count(x.n, x.thing)
		}
	}
	return text
}
