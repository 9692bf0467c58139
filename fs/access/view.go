package access

import (
	"context"
	"io"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

// View is the tree as one principal may see it, by one way in.
type View struct {
	t      *tree.Tree
	policy Policy
	p      fs.Principal
	origin fs.Origin
}

// New binds the tree to a principal.
func New(t *tree.Tree, policy Policy, p fs.Principal, o fs.Origin) *View {
	return &View{t: t, policy: policy, p: p, origin: o}
}

// Principal returns who the view is bound to.
func (v *View) Principal() fs.Principal { return v.p }

// Allowed asks the policy, for resources that are not files too.
func (v *View) Allowed(ctx context.Context, a fs.Action, r fs.Resource) error {
	return v.policy.Allowed(ctx, v.p, a, r)
}

// may asks about a file.
func (v *View) may(ctx context.Context, a fs.Action, p fs.Path) error {
	return v.policy.Allowed(ctx, v.p, a, fs.Resource{Kind: fs.Contents, Path: p})
}

// mayTree asks about a file or a directory and everything below it.
func (v *View) mayTree(ctx context.Context, a fs.Action, p fs.Path) error {
	return v.policy.Allowed(ctx, v.p, a, fs.Resource{Kind: fs.Contents, Path: p, Subtree: true})
}

// cause returns a context that says who acts.
func (v *View) cause(ctx context.Context) context.Context {
	return fs.WithCause(ctx, fs.Cause{Actor: v.p.ID, Origin: v.origin, PID: fs.CauseOf(ctx).PID})
}

// find resolves a path to a node that the principal may do a to. Symbolic links must lead to where it may too.
func (v *View) find(ctx context.Context, a fs.Action, p fs.Path) (fs.Node, error) {
	if err := v.may(ctx, a, p); err != nil {
		return nil, err
	}
	n, real, err := v.t.Resolve(ctx, p)
	if err != nil {
		return nil, err
	}
	if real != p {
		if err := v.may(ctx, a, real); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// findSettled is find for a file whose contents matter: a live document is saved first.
func (v *View) findSettled(ctx context.Context, a fs.Action, p fs.Path) (fs.Node, error) {
	n, err := v.find(ctx, a, p)
	if err != nil || !v.t.IsLive(n) {
		return n, err
	}
	v.t.Settle(ctx, n)
	return v.find(ctx, a, p)
}

// Stat returns what p names, following symbolic links.
func (v *View) Stat(ctx context.Context, p fs.Path) (fs.Entry, error) {
	n, err := v.findSettled(ctx, fs.Read, p)
	if err != nil {
		return fs.Entry{}, err
	}
	a, err := n.Attr(v.cause(ctx))
	return fs.Entry{Name: p.Base(), Node: n, Attr: a}, fs.Wrap("stat", string(p), err)
}

// List returns a snapshot of the directory p with those entries that the principal may read. The attributes are of links
// themselves.
func (v *View) List(ctx context.Context, p fs.Path) (fs.Listing, error) {
	n, err := v.find(ctx, fs.Read, p)
	if err != nil {
		return nil, err
	}
	dir, ok := n.(fs.Dir)
	if !ok {
		return nil, &fs.Error{Op: "list", Path: string(p), Kind: fs.NotDir}
	}
	return v.list(ctx, dir)
}

func (v *View) list(ctx context.Context, dir fs.Dir) (fs.Listing, error) {
	l, err := v.t.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	p, _ := v.t.Path(dir)
	return &listing{Listing: l, v: v, p: p}, nil
}

// listing reports entries that the principal may not read as gone.
type listing struct {
	fs.Listing
	v *View
	p fs.Path
}

func (l *listing) At(ctx context.Context, i int) (fs.Entry, error) {
	e, err := l.Listing.At(l.v.cause(ctx), i)
	if err != nil {
		return e, err
	}
	if l.v.may(ctx, fs.Read, l.p.Join(e.Name)) != nil {
		return fs.Entry{}, &fs.Error{Op: "list", Kind: fs.NotExist}
	}
	return e, nil
}

// Open opens the file p. The caller must release the handle.
func (v *View) Open(ctx context.Context, p fs.Path, flags fs.OpenFlags) (fs.Handle, error) {
	n, err := v.findSettled(ctx, actionOf(flags), p)
	if err != nil {
		return nil, err
	}
	h, err := v.Nodes().Open(ctx, n, flags)
	return h, fs.Wrap("open", string(p), err)
}

// Replace makes r the whole contents of the file p; see [fs.Drive]. It returns when the mount shows them.
func (v *View) Replace(ctx context.Context, p fs.Path, r io.Reader, o fs.ReplaceOptions) (fs.Replaced, error) {
	pl, err := v.place(ctx, p, true, func(p fs.Path) error { return v.may(ctx, fs.Write, p) })
	if err != nil {
		return fs.Replaced{}, err
	}
	return v.t.ReplaceAt(v.cause(ctx), pl, r, o)
}

// place finds where p leads, if may allows both. What is done there is done at that place: a link that is swapped meanwhile leads
// nobody to where it may not go.
func (v *View) place(ctx context.Context, p fs.Path, follow bool, may func(fs.Path) error) (tree.Place, error) {
	if err := may(p); err != nil {
		return tree.Place{}, err
	}
	pl, err := v.t.Find(ctx, p, follow)
	if err == nil && pl.Real != p {
		err = may(pl.Real)
	}
	return pl, err
}

// Mkdir makes the directory p; its parent must exist.
func (v *View) Mkdir(ctx context.Context, p fs.Path, o fs.CreateOptions) (fs.Entry, error) {
	pl, err := v.place(ctx, p, false, func(p fs.Path) error { return v.may(ctx, fs.Write, p) })
	if err != nil {
		return fs.Entry{}, err
	}
	if o.Mode == 0 {
		o.Mode = 0o755
	}
	d, err := v.t.MkdirAt(v.cause(ctx), pl, o)
	if err != nil {
		return fs.Entry{}, err
	}
	a, err := d.Attr(ctx)
	return fs.Entry{Name: p.Base(), Node: d, Attr: a}, err
}

// Remove removes what p names; with all, a directory with everything below it.
func (v *View) Remove(ctx context.Context, p fs.Path, all bool) error {
	pl, err := v.whole(ctx, fs.Write, p, false)
	if err != nil {
		return err
	}
	return v.t.RemoveAt(v.cause(ctx), pl, all)
}

// whole finds where p leads, if a may be done to it and all below it.
func (v *View) whole(ctx context.Context, a fs.Action, p fs.Path, follow bool) (tree.Place, error) {
	return v.place(ctx, p, follow, func(p fs.Path) error { return v.mayTree(ctx, a, p) })
}

// Rename moves a file or directory to a free path, between drives too.
func (v *View) Rename(ctx context.Context, from, to fs.Path) error {
	src, err := v.whole(ctx, fs.Write, from, false)
	if err != nil {
		return err
	}
	dst, err := v.whole(ctx, fs.Write, to, false)
	if err != nil {
		return err
	}
	return v.t.RenameAt(v.cause(ctx), src, dst)
}

// Copy makes the free path to a copy of a file or directory, between drives too.
func (v *View) Copy(ctx context.Context, from, to fs.Path) error {
	src, err := v.whole(ctx, fs.Read, from, true)
	if err == nil && src.Node != nil && v.t.IsLive(src.Node) {
		v.t.Settle(ctx, src.Node)
		src, err = v.whole(ctx, fs.Read, from, true)
	}
	if err != nil {
		return err
	}
	dst, err := v.whole(ctx, fs.Write, to, false)
	if err != nil {
		return err
	}
	return v.t.CopyAt(v.cause(ctx), src, dst)
}

// Hash returns the sha256 of a file's bytes and the version they are of. A version is read once only.
func (v *View) Hash(ctx context.Context, p fs.Path) (tree.Sum, fs.Version, error) {
	n, err := v.findSettled(ctx, fs.Read, p)
	if err != nil {
		return tree.Sum{}, "", err
	}
	sum, at, err := v.t.Hash(v.cause(ctx), n)
	return sum, at, fs.Wrap("hash", string(p), err)
}

// Subscribe returns the changes of what the principal may read; buffer is how many may wait. Close it when done. What comes from
// where the principal may not read is new for it, and what goes there is gone.
func (v *View) Subscribe(buffer int) *tree.Subscription {
	return v.t.Subscribe(buffer, v.see)
}

// see returns a change as the principal sees it, and whether it does.
func (v *View) see(c fs.Change) (fs.Change, bool) {
	if c.Op == fs.OpLost {
		return c, true
	}
	mayRead := func(p fs.Path) bool { return v.may(context.Background(), fs.Read, p) == nil }
	if c.Op != fs.OpRename {
		return c, mayRead(c.Path)
	}
	from, to := mayRead(c.OldPath), mayRead(c.Path)
	switch {
	case from && !to:
		return fs.Change{
			Seq: c.Seq, Epoch: c.Epoch, Drive: c.Drive, FileID: c.FileID, Path: c.OldPath, Op: fs.OpRemove, Type: c.Type, Cause: c.Cause,
			Time: c.Time,
		}, true
	case to && !from:
		if c.Op, c.OldPath = fs.OpCreate, ""; c.Old != nil {
			c.Op = fs.OpReplace
		}
	}
	return c, to
}

// actionOf returns what opening with these flags amounts to.
func actionOf(flags fs.OpenFlags) fs.Action {
	if flags&(fs.OpenWrite|fs.OpenAppend|fs.OpenTruncate) != 0 {
		return fs.Write
	}
	return fs.Read
}
