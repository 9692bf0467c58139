package tree

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// maxLinks is how many symbolic links a path may lead through, as Linux has it.
const maxLinks = 40

// Place is where a path leads: the directory and the name in it after all links before the last component, and the last too if
// it was asked for, were followed. Node is nil if the name does not exist. The root and a drive's root have no Dir.
type Place struct {
	Dir  fs.Dir
	Name string
	Node fs.Node
	Real fs.Path // without links
}

// Resolve returns the node that p leads to, following symbolic links inside the drive, and its real path.
func (t *Tree) Resolve(ctx context.Context, p fs.Path) (fs.Node, fs.Path, error) {
	pl, err := t.Find(ctx, p, true)
	switch {
	case err != nil:
		return nil, "", err
	case pl.Node == nil:
		return nil, "", &fs.Error{Op: "find", Path: string(p), Kind: fs.NotExist}
	}
	return pl.Node, pl.Real, nil
}

// Find returns the place that p names. Only the last component may be missing. With follow a link as the last component is
// followed too. A link that leads out of its drive is an error of kind Permission.
func (t *Tree) Find(ctx context.Context, p fs.Path, follow bool) (Place, error) {
	if p == "" {
		return Place{Node: t.Root()}, nil
	}
	m, rel, err := t.split(p)
	if err != nil {
		return Place{}, fs.Wrap("find", string(p), err)
	}
	w := walk{t: t, m: m, asked: p, stack: []step{{node: m.drive.Root()}}}
	if err := w.run(ctx, rel, follow); err != nil {
		return Place{}, err
	}
	return w.place(), nil
}

// walk follows a path component by component. The stack holds the nodes from the drive's root to where it is.
type walk struct {
	t     *Tree
	m     *mounted
	asked fs.Path
	stack []step
	links int
}

type step struct {
	name string
	node fs.Node // nil for a last component that is missing
}

func (w *walk) run(ctx context.Context, rel string, follow bool) error {
	todo := splitPath(rel)
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if len(w.stack) == 1 {
				return w.outside()
			}
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		n, err := w.enter(ctx, name, len(todo) == 0)
		if err != nil {
			return err
		}
		target, isLink, err := w.link(ctx, n, len(todo) > 0 || follow)
		if err != nil {
			return err
		}
		if isLink {
			todo = append(splitPath(target), todo...)
			continue
		}
		w.stack = append(w.stack, step{name, n})
	}
	return nil
}

// enter looks up name where the walk stands; a missing last one is nil.
func (w *walk) enter(ctx context.Context, name string, last bool) (fs.Node, error) {
	dir, ok := w.stack[len(w.stack)-1].node.(fs.Dir)
	if !ok {
		return nil, &fs.Error{Op: "find", Path: string(w.asked), Kind: fs.NotDir}
	}
	n, err := w.t.Lookup(ctx, dir, name)
	if err == nil {
		return n, nil
	}
	if last && fs.KindOf(err) == fs.NotExist && !w.t.reserved(dir, name) {
		return nil, nil
	}
	return nil, &fs.Error{Op: "find", Path: string(w.asked), Kind: fs.KindOf(err), Err: err}
}

// link returns the target of n if it is a symbolic link that is to be followed.
func (w *walk) link(ctx context.Context, n fs.Node, follow bool) (target string, isLink bool, err error) {
	if n == nil || !follow {
		return "", false, nil
	}
	if _, isDir := n.(fs.Dir); isDir {
		return "", false, nil
	}
	rl, ok := fs.As[fs.Readlinker](n)
	if !ok {
		return "", false, nil
	}
	target, err = rl.Readlink(ctx)
	switch {
	case err != nil && fs.KindOf(err) == fs.Invalid:
		return "", false, nil // not a link
	case err != nil:
		return "", false, fs.Wrap("readlink", string(w.asked), err)
	case strings.HasPrefix(target, "/"):
		return "", false, w.outside()
	}
	if w.links++; w.links > maxLinks {
		return "", false, &fs.Error{Op: "find", Path: string(w.asked), Kind: fs.Invalid, Err: syscall.ELOOP}
	}
	return target, true, nil
}

func (w *walk) outside() error {
	return &fs.Error{Op: "find", Path: string(w.asked), Kind: fs.Permission,
		Err:  errors.New("a symbolic link leads out of the drive"),
		Hint: "links are followed inside one drive only"}
}

func (w *walk) place() Place {
	rel := make([]string, 0, len(w.stack))
	for _, s := range w.stack[1:] {
		rel = append(rel, s.name)
	}
	last := w.stack[len(w.stack)-1]
	pl := Place{Name: last.name, Node: last.node, Real: w.t.join(w.m, strings.Join(rel, "/"))}
	if len(w.stack) > 1 {
		pl.Dir, _ = w.stack[len(w.stack)-2].node.(fs.Dir) // enter has made sure
	}
	return pl
}

func splitPath(p string) []string {
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}
