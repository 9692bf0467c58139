package mem

import (
	"context"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Stat returns what is known of a file or directory.
func (b *Backend) Stat(ctx context.Context, key string) (info fs.Info, err error) {
	err = b.do(ctx, Request{Op: "stat", Key: key}, func() error {
		if b.objects.isDir(key) {
			info = b.objects.dir(key)
			return nil
		}
		obj, err := b.objects.file(key)
		if err == nil {
			info = obj.as(key)
		}
		return err
	})
	return info, err
}

// Recheck is Stat.
func (b *Backend) Recheck(ctx context.Context, key string) (fs.Info, error) { return b.Stat(ctx, key) }

// List returns a page of a directory.
func (b *Backend) List(ctx context.Context, dir string, o fs.ListOptions) (page fs.Page, err error) {
	err = b.do(ctx, Request{Op: "list", Key: dir}, func() error {
		if !b.objects.isDir(dir) {
			return kindError(fs.NotExist)
		}
		prefix := ""
		if dir != "" {
			prefix = dir + "/"
		}
		l := lister{objects: &b.objects, prefix: prefix, max: o.Max}
		if l.max <= 0 {
			l.max = DefaultPage
		}
		page = l.page(max(o.Token, prefix))
		return nil
	})
	return page, err
}

// lister makes one page of what lies under prefix.
type lister struct {
	objects *objects
	prefix  string
	max     int
	out     fs.Page
}

// page walks the raw keys from on. A token is the raw key with which the next page begins.
func (l *lister) page(from string) fs.Page {
	keys := l.objects.keys
	for i := l.objects.from(from); i < len(keys) && strings.HasPrefix(keys[i], l.prefix); {
		raw := keys[i]
		if len(l.out.Infos)+l.out.Hidden >= l.max {
			l.out.Next = raw
			break
		}
		name, _, below := strings.Cut(raw[len(l.prefix):], "/")
		switch {
		case raw == l.prefix: // the directory's own marker
			l.out.Marked = true
			i++
		case below:
			l.addDir(name)
			i = l.objects.from(l.prefix + name + "0") // "0" follows "/"
		default:
			l.addFile(name, raw)
			i++
		}
	}
	return l.out
}

func (l *lister) addDir(name string) {
	if fs.CheckName(name) != nil {
		l.out.Hidden++
		return
	}
	info := l.objects.dir(l.prefix + name)
	l.out.Infos = append(l.out.Infos, fs.Info{Key: info.Key, Type: fs.Directory, Partial: true})
}

func (l *lister) addFile(name, raw string) {
	if l.objects.isDir(raw) {
		name = fs.ShadowName(name)
		if l.objects.get(l.prefix+name) != nil || l.objects.isDir(l.prefix+name) {
			l.out.Hidden++
			return
		}
	}
	if fs.CheckName(name) != nil {
		l.out.Hidden++
		return
	}
	l.out.Infos = append(l.out.Infos, l.objects.get(raw).partial(l.prefix+name))
}
