package drive

import (
	"path"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// patterns are names that are never uploaded.
type patterns []string

// match reports whether a name is one of them.
func (p patterns) match(name string) bool {
	for _, pattern := range p {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// check returns an error of kind Invalid for what is no pattern.
func (p patterns) check() error {
	for _, pattern := range p {
		if _, err := path.Match(pattern, ""); err != nil {
			return &fs.Error{Op: "local patterns", Path: pattern, Kind: fs.Invalid, Err: err}
		}
	}
	return nil
}

// isLocal reports whether a node is never uploaded: it, or a directory above, has such a name, and the store does not have it. The
// caller holds mu.
func (d *Drive) isLocal(n inode) bool {
	x := n.meta()
	if len(d.local) == 0 || x.m.at.version != "" && n.kind() != kindDir {
		return false
	}
	for ; x.m.parent != nil; x = &x.m.parent.node {
		if d.local.match(x.m.name) {
			return true
		}
	}
	return false
}
