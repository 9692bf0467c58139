package mem

import (
	"maps"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// object is a version under a raw key: a path, or a path with a slash at its end for a directory's marker. It is never changed
// once it is stored.
type object struct {
	data []byte
	info fs.Info // without Key
}

// objects are all raw keys in order. Its owner locks it.
type objects struct {
	byKey map[string]*object
	keys  []string // sorted
}

func (o *objects) get(raw string) *object { return o.byKey[raw] }

func (o *objects) put(raw string, obj *object) {
	if o.byKey == nil {
		o.byKey = map[string]*object{}
	}
	if _, there := o.byKey[raw]; !there {
		i, _ := slices.BinarySearch(o.keys, raw)
		o.keys = slices.Insert(o.keys, i, raw)
	}
	o.byKey[raw] = obj
}

func (o *objects) remove(raw string) {
	if _, there := o.byKey[raw]; there {
		delete(o.byKey, raw)
		i, _ := slices.BinarySearch(o.keys, raw)
		o.keys = slices.Delete(o.keys, i, i+1)
	}
}

// from returns the index of the first key that is not before raw.
func (o *objects) from(raw string) int {
	i, _ := slices.BinarySearch(o.keys, raw)
	return i
}

// any reports whether a key begins with prefix.
func (o *objects) any(prefix string) bool {
	i := o.from(prefix)
	return i < len(o.keys) && strings.HasPrefix(o.keys[i], prefix)
}

// isDir reports whether path is a directory. The top always is.
func (o *objects) isDir(path string) bool { return path == "" || o.any(path+"/") }

// dir returns what is known of the directory at path.
func (o *objects) dir(path string) fs.Info {
	marker := o.get(path + "/")
	if marker == nil || path == "" {
		return fs.Info{Key: path, Type: fs.Directory, Implicit: path != ""}
	}
	info := marker.info
	info.Key, info.Type, info.Size, info.Version = path, fs.Directory, 0, ""
	return info
}

// resolve returns the raw key of the file at path: the path itself, or of a shadow what it stands for.
func (o *objects) resolve(path string) string {
	shadowed, ok := fs.ShadowedName(path)
	if ok && o.get(path) == nil && o.get(shadowed) != nil && o.isDir(shadowed) {
		return shadowed
	}
	return path
}

// file returns the object at path.
func (o *objects) file(path string) (*object, error) {
	obj := o.get(o.resolve(path))
	switch {
	case o.isDir(path):
		return nil, kindError(fs.IsDir)
	case obj == nil:
		return nil, kindError(fs.NotExist)
	}
	return obj, nil
}

// as returns the object's Info under that path.
func (obj *object) as(path string) fs.Info {
	info := obj.info
	info.Key, info.Meta = path, maps.Clone(obj.info.Meta)
	return info
}

// partial returns what a listing tells of it.
func (obj *object) partial(path string) fs.Info {
	i := obj.info
	return fs.Info{Key: path, Type: fs.File, Size: i.Size, ModTime: i.Stored, Stored: i.Stored, Version: i.Version, Partial: true}
}

// checkKey returns an error if no object can have that path.
func (b *Backend) checkKey(path string) error {
	for name := range strings.SplitSeq(path, "/") {
		if err := fs.CheckName(name); err != nil {
			return kindError(fs.KindOf(err))
		}
	}
	if b.caps.MaxKey > 0 && len(path) > b.caps.MaxKey {
		return kindError(fs.NameTooLong)
	}
	return nil
}
