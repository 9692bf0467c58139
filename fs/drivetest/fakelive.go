package drivetest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// SaveFunc saves the text of a live document and returns the version that it has made. Its context carries [fs.OriginRoom].
type SaveFunc func(ctx context.Context, p fs.Path, text []byte) (fs.Version, error)

// FakeLive is an [fs.Live] for tests: documents of lines that can be typed into, saved and merged, and a record of all calls. A
// foreign text is merged line by line; where both sides changed the same lines, both stay.
type FakeLive struct {
	save   SaveFunc
	saving sync.Mutex // held while a text is saved, so that an older one never comes last; taken before mu

	mu     sync.Mutex // guards all below, and not held while saving
	docs   map[fs.FileID]*liveDoc
	calls  []LiveCall
	called chan struct{} // closed and replaced with each call
	gate   chan struct{} // Flush waits until it is closed; nil = it does not wait
}

var _ fs.Live = (*FakeLive)(nil)

// liveDoc is one document.
type liveDoc struct {
	path     fs.Path
	text     string
	saved    string
	versions map[fs.Version]string // what was saved as which
}

// LiveCall is a call that a FakeLive has got.
type LiveCall struct {
	Method   string // "Flush", "Absorb", "Moved" or "Removed"
	ID       fs.FileID
	From, To fs.Path // the path; To of Moved only
	Base     fs.Version
	Data     string
	Cause    fs.Cause
}

// NewFakeLive returns a set of no documents.
func NewFakeLive(save SaveFunc) *FakeLive {
	return &FakeLive{save: save, docs: map[fs.FileID]*liveDoc{}, called: make(chan struct{})}
}

// Open begins a document with what is saved at v.
func (l *FakeLive) Open(id fs.FileID, p fs.Path, saved string, v fs.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.docs[id] = &liveDoc{path: p, text: saved, saved: saved, versions: map[fs.Version]string{v: saved}}
}

// Type sets the text that the people in a document see. It is not saved before the next Flush or Absorb.
func (l *FakeLive) Type(id fs.FileID, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.docs[id].text = text
}

// Text returns what the people in a document see.
func (l *FakeLive) Text(id fs.FileID) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.docs[id].text
}

// Block makes each Flush wait until unblock is called.
func (l *FakeLive) Block() (unblock func()) {
	gate := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = gate
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(gate)
		l.gate = nil
	})
}

// Calls returns the calls of that method, or all if it is "".
func (l *FakeLive) Calls(method string) []LiveCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.calls), func(c LiveCall) bool { return method != "" && c.Method != method })
}

// Wait returns the first n calls of that method as soon as there are so many, or the error of ctx.
func (l *FakeLive) Wait(ctx context.Context, method string, n int) ([]LiveCall, error) {
	for {
		l.mu.Lock()
		called := l.called
		l.mu.Unlock()
		if calls := l.Calls(method); len(calls) >= n {
			return calls[:n], nil
		}
		select {
		case <-called:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// record notes a call and returns its document, nil if there is none, and the gate.
func (l *FakeLive) record(c LiveCall) (*liveDoc, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	close(l.called)
	l.called = make(chan struct{})
	return l.docs[c.ID], l.gate
}

// Flush saves what was typed.
func (l *FakeLive) Flush(ctx context.Context, id fs.FileID) error {
	doc, gate := l.record(LiveCall{Method: "Flush", ID: id, Cause: fs.CauseOf(ctx)})
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return fs.Wrap("flush", id.String(), ctx.Err())
		}
	}
	if doc == nil {
		return &fs.Error{Op: "flush", Path: id.String(), Kind: fs.NotExist}
	}
	return l.commit(ctx, doc, false)
}

// commit saves the text if it is newer than the file, or always: the file may have been removed.
func (l *FakeLive) commit(ctx context.Context, doc *liveDoc, always bool) error {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	text, path, clean := doc.text, doc.path, doc.text == doc.saved
	l.mu.Unlock()
	if clean && !always {
		return nil
	}
	v, err := l.save(fs.WithCause(ctx, fs.Cause{Actor: "room", Origin: fs.OriginRoom}), path, []byte(text))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	doc.saved = text
	doc.versions[v] = text
	return nil
}

// Absorb merges a foreign text and saves the result.
func (l *FakeLive) Absorb(ctx context.Context, a fs.Absorption) error {
	doc, _ := l.record(LiveCall{Method: "Absorb", ID: a.ID, From: a.Path, Base: a.Base, Data: string(a.Data), Cause: a.Cause})
	switch {
	case doc == nil:
		return &fs.Error{Op: "absorb", Path: string(a.Path), Kind: fs.NotExist}
	case strings.HasSuffix(string(a.Path), ".ipynb") && !json.Valid(a.Data):
		return &fs.Error{Op: "absorb", Path: string(a.Path), Kind: fs.Invalid, Err: errors.New("not a notebook")}
	}
	l.mu.Lock()
	base, known := doc.versions[a.Base]
	if !known {
		base = doc.saved
	}
	doc.text = merge(base, doc.text, string(a.Data))
	l.mu.Unlock()
	return l.commit(ctx, doc, true)
}

// Moved notes the new path.
func (l *FakeLive) Moved(_ context.Context, id fs.FileID, from, to fs.Path) {
	doc, _ := l.record(LiveCall{Method: "Moved", ID: id, From: from, To: to})
	if doc != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		doc.path = to
	}
}

// Removed ends the document.
func (l *FakeLive) Removed(_ context.Context, id fs.FileID, p fs.Path) {
	l.record(LiveCall{Method: "Removed", ID: id, From: p})
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.docs, id)
}

// merge merges two texts that come from one, line by line. Where both have changed the same lines, those of ours come first.
func merge(base, ours, theirs string) string {
	b, o, t := strings.SplitAfter(base, "\n"), strings.SplitAfter(ours, "\n"), strings.SplitAfter(theirs, "\n")
	inOurs, inTheirs := matches(b, o), matches(b, t)
	var out []string
	i, j, k := 0, 0, 0
	for next := 0; next <= len(b); next++ {
		oAt, tAt := len(o), len(t)
		if next < len(b) {
			oAt, tAt = inOurs[next], inTheirs[next]
			if oAt < 0 || tAt < 0 {
				continue
			}
		}
		out = append(out, pick(b[i:next], o[j:oAt], t[k:tAt])...)
		if next < len(b) {
			out = append(out, b[next])
		}
		i, j, k = next+1, oAt+1, tAt+1
	}
	return strings.Join(out, "")
}

// pick chooses between two changes of the same lines.
func pick(base, ours, theirs []string) []string {
	switch {
	case slices.Equal(base, ours):
		return theirs
	case slices.Equal(base, theirs), slices.Equal(ours, theirs):
		return ours
	}
	return slices.Concat(ours, theirs)
}

// matches returns for each line of a its place in b in a longest common subsequence, or -1.
func matches(a, b []string) []int {
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i, line := range slices.Backward(a) {
		for j := len(b) - 1; j >= 0; j-- {
			if line == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	out := make([]int, len(a))
	for i, j := 0, 0; i < len(a); i++ {
		out[i] = -1
		for j < len(b) && a[i] != b[j] && length[i][j+1] >= length[i+1][j] {
			j++
		}
		if j < len(b) && a[i] == b[j] {
			out[i] = j
			j++
		}
	}
	return out
}
