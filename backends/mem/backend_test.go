package mem

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func write(t *testing.T, b fs.Backend, key, data string, o fs.WriteOptions) error {
	t.Helper()
	o.Size = int64(len(data))
	w, err := b.Write(t.Context(), key, o)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	_, err = w.Commit(t.Context())
	return err
}

func read(t *testing.T, b fs.Backend, key string, o fs.ReadOptions) (string, error) {
	t.Helper()
	r, err := b.Read(t.Context(), key, o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

func TestHooks(t *testing.T) {
	var before, after error
	b := NewBackend(BackendOptions{
		Before: func(context.Context, Request) error { return before },
		After:  func(context.Context, Request) error { return after },
		Body:   func(_ Request, r io.Reader) io.Reader { return io.LimitReader(r, 3) },
	})
	before = &fs.Error{Kind: fs.Throttled}
	if err := write(t, b, "a", "hello", fs.WriteOptions{}); fs.KindOf(err) != fs.Throttled || err.Error() != "put a: throttled" {
		t.Errorf("refused write: %v", err)
	}
	if got := b.Keys(""); len(got) != 0 {
		t.Errorf("keys after a refused write: %q", got)
	}
	before, after = nil, &fs.Error{Kind: fs.UnknownOutcome}
	if err := write(t, b, "a", "hello", fs.WriteOptions{}); fs.KindOf(err) != fs.UnknownOutcome {
		t.Errorf("write with a lost answer: %v", err)
	}
	after = nil
	if data, _, ok := b.Contents("a"); !ok || string(data) != "hello" {
		t.Errorf("contents after a lost answer: %q", data)
	}
	if got, err := read(t, b, "a", fs.ReadOptions{}); got != "hel" || err != nil {
		t.Errorf("cut read: %q, %v", got, err)
	}
	if got := fmt.Sprint(b.Requests()); got != "map[put:2 read:1]" {
		t.Errorf("requests: %v", got)
	}
	b.ResetRequests()
	if got := b.Requests(); len(got) != 0 {
		t.Errorf("requests after reset: %v", got)
	}
}

func TestCapsThatAreNoneAreNotKept(t *testing.T) {
	b := NewBackend(BackendOptions{Caps: func(c *fs.Caps) { c.CondWrite = fs.None }})
	for _, data := range []string{"one", "two"} {
		if err := write(t, b, "a", data, fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInject(t *testing.T) {
	b := NewBackend(BackendOptions{})
	for _, raw := range []string{"a", "a/b", "a//c", "/lead", "d/", "./x"} {
		b.Inject(raw, []byte(raw), fs.WriteOptions{})
	}
	page, err := b.List(t.Context(), "", fs.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range page.Infos {
		names = append(names, fmt.Sprintf("%s:%d", i.Key, i.Type))
	}
	want := []string{"a (file):1", "a:2", "d:2"}
	if !slices.Equal(names, want) || page.Hidden != 2 {
		t.Errorf("List() = %q and %d hidden, want %q and 2", names, page.Hidden, want)
	}
	if got := b.Keys("a/"); !slices.Equal(got, []string{"a//c", "a/b"}) {
		t.Errorf("Keys(a/) = %q", got)
	}
}

func TestGenerated(t *testing.T) {
	g := NewGenerated(GeneratedOptions{})
	for dir, want := range map[string]int{"": 1001, "big": 100_000, "d0999": 1000} {
		seen := map[string]bool{}
		for token := ""; ; {
			page, err := g.List(t.Context(), dir, fs.ListOptions{Token: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range page.Infos {
				seen[i.Key] = true
			}
			if token = page.Next; token == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%q has %d names, want %d", dir, len(seen), want)
		}
	}
	if got, err := read(t, g, "d0000/f000001.txt", fs.ReadOptions{Off: 10, Len: 12}); got != "001.txt\nd000" || err != nil {
		t.Errorf("Read() = %q, %v", got, err)
	}
	for _, key := range []string{"d1000", "d000", "d0000/f001000.txt", "d0000/f1.txt", "x"} {
		if _, err := g.Stat(t.Context(), key); err == nil || fs.KindOf(err) != fs.NotExist {
			t.Errorf("Stat(%s) = %v", key, err)
		}
	}
}
