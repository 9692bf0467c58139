package tree

import (
	"context"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// moveCompanions renames the files that go along with a document. The document has its new name already: one that cannot follow
// stays where it is and is logged.
func (t *Tree) moveCompanions(ctx context.Context, from, to fs.Path) {
	t.eachCompanion(from, to, func(a, b fs.Path) error {
		src, err := t.Find(ctx, a, false)
		if err != nil || src.Node == nil || src.Dir == nil {
			return notMissing(err)
		}
		dir, err := t.makeParent(ctx, b)
		if err != nil {
			return err
		}
		return src.Dir.Rename(ctx, src.Name, dir, b.Base(), 0)
	})
}

// copyCompanions copies them.
func (t *Tree) copyCompanions(ctx context.Context, from, to fs.Path) {
	t.eachCompanion(from, to, func(a, b fs.Path) error {
		src, err := t.Find(ctx, a, false)
		if err != nil || src.Node == nil {
			return notMissing(err)
		}
		dir, err := t.makeParent(ctx, b)
		if err != nil {
			return err
		}
		return t.copyInto(ctx, src.Node, dir, b.Base())
	})
}

func (t *Tree) eachCompanion(from, to fs.Path, do func(from, to fs.Path) error) {
	if t.opts.Companion == nil {
		return
	}
	for _, pair := range t.opts.Companion.Paths(from, to) {
		if err := do(pair[0], pair[1]); err != nil {
			t.log.Error("a companion file was left behind", "path", string(pair[0]), "to", string(pair[1]), "err", err)
		}
	}
}

// makeParent returns the directory that is to hold p, making it if it is missing.
func (t *Tree) makeParent(ctx context.Context, p fs.Path) (fs.Dir, error) {
	pl, err := t.Find(ctx, p.Dir(), true)
	if err != nil {
		return nil, err
	}
	if pl.Node == nil {
		return t.Mkdir(ctx, pl.Dir, pl.Name, fs.CreateOptions{Mode: 0o755})
	}
	dir, ok := pl.Node.(fs.Dir)
	if !ok {
		return nil, &fs.Error{Op: "mkdir", Path: string(p.Dir()), Kind: fs.NotDir}
	}
	return dir, nil
}

// notMissing returns err unless it says that nothing is there.
func notMissing(err error) error {
	if err != nil && fs.KindOf(err) == fs.NotExist {
		return nil
	}
	return err
}
