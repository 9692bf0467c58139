// Package access decides who may do what, and gives doors the only form of the tree they hold: one that asks first.
//
// # Nouns
//
// A [Policy] answers whether an [fs.Principal] may do an [fs.Action] on an [fs.Resource]. A [View] is the tree bound to one
// principal and one way in: by path for the HTTP API, by node ([View.Nodes]) for the mount. Every operation of a view asks the
// policy before it touches anything.
//
// # Rules
//
//   - Nothing below a door asks again; nothing above one is trusted.
//   - A refusal is an [*fs.Error] of kind Permission, or NotExist where even the name is secret.
//   - An open handle keeps its decision until the policy's epoch moves, then it is decided again at the next operation.
//   - Moving, copying or removing a directory asks about everything below it ([fs.Resource.Subtree]).
//
// # Concurrency
//
// A View may be used from any goroutine.
//
// # Example
//
//	v := access.New(t, access.Everyone{}, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
//	e, err := v.Stat(ctx, "home/a.ipynb")
//
// # What it does not do
//
// It authenticates nobody (package jupyterapi/identity does) and keeps no rules of its own yet: every known principal may act as
// the daemon's own user ([Everyone]).
package access

import (
	"context"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Policy decides. It must be quick: it is asked for every operation.
type Policy interface {
	// Allowed returns nil, or an *fs.Error of kind Permission, NotExist or Unauthenticated.
	Allowed(ctx context.Context, p fs.Principal, a fs.Action, r fs.Resource) error
	// Epoch moves whenever a decision may have changed.
	Epoch() uint64
}

// Everyone is the policy that lets every known principal do everything.
type Everyone struct{}

// Allowed refuses only those who are not known.
func (Everyone) Allowed(_ context.Context, p fs.Principal, a fs.Action, r fs.Resource) error {
	if p.ID == "" {
		return &fs.Error{Op: string(a), Path: string(r.Path), Kind: fs.Unauthenticated}
	}
	return nil
}

// Epoch never moves.
func (Everyone) Epoch() uint64 { return 0 }
