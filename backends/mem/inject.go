package mem

import (
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Inject stores an object under any raw key, past all checks and hooks, as another program may: a key that is no path, a marker, a file that has a
// directory's name.
func (b *Backend) Inject(raw string, data []byte, o fs.WriteOptions) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store(raw, &object{data: slices.Clone(data), info: newInfo(data, o)})
}

// Keys returns all raw keys that begin with prefix, sorted, past the hooks.
func (b *Backend) Keys(prefix string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := b.objects.from(prefix)
	n := 0
	for ; from+n < len(b.objects.keys) && strings.HasPrefix(b.objects.keys[from+n], prefix); n++ {
	}
	return slices.Clone(b.objects.keys[from : from+n])
}

// Contents returns what is stored under a raw key, past the hooks; ok is false if nothing is.
func (b *Backend) Contents(raw string) (data []byte, info fs.Info, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	obj := b.objects.get(raw)
	if obj == nil {
		return nil, fs.Info{}, false
	}
	return slices.Clone(obj.data), obj.as(raw), true
}
