package mem

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// reserved holds the engines' records. They take no part in the drive's tree.
type reserved struct {
	d *Drive

	mu      sync.Mutex // guards all below
	records map[string]record
	gen     uint64
}

type record struct {
	data    []byte
	version fs.Version
}

var _ fs.Reserved = (*reserved)(nil)

func (r *reserved) Get(ctx context.Context, name string) ([]byte, fs.Version, error) {
	if err := r.d.enter(ctx, "reserved get", name); err != nil {
		return nil, "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.records[name]
	if !ok {
		return nil, "", fail("reserved get", name, fs.NotExist)
	}
	return slices.Clone(rec.data), rec.version, nil
}

func (r *reserved) Put(ctx context.Context, name string, data []byte, c fs.Cond) (fs.Version, error) {
	if err := r.d.enter(ctx, "reserved put", name); err != nil {
		return "", err
	}
	if _, err := fs.ParsePath(name); err != nil || name == "" {
		return "", fail("reserved put", name, fs.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("reserved put", name, c); err != nil {
		return "", err
	}
	if r.records == nil {
		r.records = map[string]record{}
	}
	r.gen++
	v := fs.Version(strconv.FormatUint(r.gen, 36))
	r.records[name] = record{append([]byte{}, data...), v}
	return v, nil
}

// check returns nil if the condition holds. The caller holds mu.
func (r *reserved) check(op, name string, c fs.Cond) error {
	rec, there := r.records[name]
	switch {
	case c.IfAbsent && c.IfVersion != "":
		return fail(op, name, fs.Invalid)
	case c.IfAbsent && there:
		return fail(op, name, fs.Exist)
	case c.IfVersion != "" && rec.version != c.IfVersion:
		return fail(op, name, fs.Conflict)
	}
	return nil
}

func (r *reserved) Delete(ctx context.Context, name string, c fs.Cond) error {
	if err := r.d.enter(ctx, "reserved delete", name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("reserved delete", name, c); err != nil {
		return err
	}
	if _, ok := r.records[name]; !ok {
		return fail("reserved delete", name, fs.NotExist)
	}
	delete(r.records, name)
	return nil
}

func (r *reserved) Names(ctx context.Context, prefix string) ([]string, error) {
	if err := r.d.enter(ctx, "reserved names", prefix); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name := range r.records {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
