package drive

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// virtual is the prefix of attributes that tell of the drive itself.
const virtual = "user.jupyter-drive."

// maxXattrs is how many bytes of attributes a node may have.
const maxXattrs = 64 << 10

// told returns the virtual attributes. The caller holds Drive.mu.
func (n *node) told() map[string]string {
	path, named := n.path()
	all := map[string]string{"state": "clean", "key": path}
	m := &n.m
	if m.at.version != "" && n.self.kind() != kindDir {
		all["etag"] = string(m.at.version)
	}
	if c := m.get().conflict; c != "" {
		all["conflict"] = c
		if lost := n.d.conflicts.copies[n.self].lost; lost > 0 {
			all["partial"] = strconv.FormatInt(lost, 10)
		}
	} else if named && n.d.conflicts.occupied[path] != 0 && n.self.kind() == kindDir {
		all["conflict"] = path
	}
	if !named {
		all["state"] = "removed"
		return all
	}
	f, _ := n.self.(*file)
	k := keyOf(n.self)
	switch p := n.d.pending[k]; {
	case p != nil && p.err != nil:
		all["state"] = "error"
	case p != nil && n.d.queue.working[k]:
		all["state"] = "uploading"
	case p != nil:
		all["state"] = "pending"
	case f != nil && f.live != nil:
		all["state"] = "open"
	case f != nil && m.at.version == "":
		all["state"] = "local"
	}
	return all
}

// Xattr returns one extended attribute.
func (n *node) Xattr(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("getxattr", name, err)
	}
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	if rest, ok := strings.CutPrefix(name, virtual); ok {
		if v, ok := n.told()[rest]; ok {
			return []byte(v), nil
		}
		return nil, fail("getxattr", name, fs.NoAttr)
	}
	v, ok := n.m.get().xattrs[name]
	if !ok {
		return nil, fail("getxattr", name, fs.NoAttr)
	}
	return slices.Clone(v), nil
}

// Xattrs returns the names, sorted. The virtual ones are not among them: programs that copy attributes must not meet them.
func (n *node) Xattrs(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("listxattr", "", err)
	}
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	return slices.Sorted(maps.Keys(n.m.get().xattrs)), nil
}

// SetXattr sets one. Setting user.jupyter-drive.refresh has the store asked for what is below the node.
func (n *node) SetXattr(ctx context.Context, name string, value []byte, create, replace bool) error {
	switch {
	case name == virtual+"refresh":
		n.d.refresh(n.self)
		return nil
	case strings.HasPrefix(name, virtual):
		return fail("setxattr", name, fs.NotPermitted)
	case !strings.HasPrefix(name, "user."):
		return fail("setxattr", name, fs.Unsupported)
	}
	_, err := n.d.mutate(ctx, "setxattr", n.where(), func(t *tx) error {
		before := n.m.get().xattrs
		_, there := before[name]
		switch {
		case there && create:
			return fail("setxattr", name, fs.Exist)
		case !there && replace:
			return fail("setxattr", name, fs.NoAttr)
		}
		size := len(name) + len(value)
		for k, v := range before {
			if k != name {
				size += len(k) + len(v)
			}
		}
		if size > maxXattrs {
			return fail("setxattr", name, fs.NoSpace)
		}
		now := map[string][]byte{}
		maps.Copy(now, before)
		now[name] = append([]byte{}, value...)
		t.setXattrs(n.self, now)
		return nil
	})
	return err
}

// RemoveXattr removes one. Removing user.jupyter-drive.conflict says that somebody has seen to the conflict: Status does not tell of it
// any more.
func (n *node) RemoveXattr(ctx context.Context, name string) error {
	if name == virtual+"conflict" {
		return n.acknowledge(ctx)
	}
	_, err := n.d.mutate(ctx, "removexattr", n.where(), func(t *tx) error {
		if _, ok := n.m.get().xattrs[name]; !ok {
			return fail("removexattr", name, fs.NoAttr)
		}
		now := maps.Clone(n.m.get().xattrs)
		delete(now, name)
		t.setXattrs(n.self, now)
		return nil
	})
	return err
}

func (t *tx) setXattrs(n inode, all map[string][]byte) {
	t.touch(n)
	m := &n.meta().m
	m.edit(func(m *more) { m.xattrs = all })
	m.ctime = t.now
	t.record(fs.OpAttr, n, fs.Change{})
}

// refresh has the store asked anew for a node and all below it.
func (d *Drive) refresh(n inode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var walk func(n inode)
	walk = func(n inode) {
		switch n := n.(type) {
		case *dir:
			n.listed = n.listed.Add(-d.opts.NamesTTL)
			for _, c := range n.children {
				walk(c)
			}
		case *file:
			n.checked = 0
		}
	}
	walk(n)
	if p := n.meta().m.parent; p != nil {
		p.listed = p.listed.Add(-d.opts.NamesTTL)
	}
	d.reach.found(nil) // what is known serves no more
}
