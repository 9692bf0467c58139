package backendtest

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func writeCases() []testCase {
	return []testCase{
		{"write/sizes", func(e *env) {
			for _, size := range []int{0, 1, 4096, 65535, 65536, 65537, 1<<20 + 1} {
				e.writeBoth(fmt.Sprintf("f%d", size), size)
			}
		}},
		{"write/part sizes", func(e *env) {
			part := int(e.b.Caps().PreferWrite)
			if part == 0 {
				e.Skip("the store has no parts")
			}
			for _, size := range []int{part - 1, part, part + 1, 2*part + 100} {
				e.writeBoth("f", size)
			}
		}},
		{"write/replaces", func(e *env) {
			one := e.put("f", "one")
			two := e.put("f", "two")
			if one.Version == two.Version || one.Version == "" {
				e.Errorf("versions %q and %q", one.Version, two.Version)
			}
			e.holds("f", "two")
			if got := e.stat("f"); got.Version != two.Version || got.Size != 3 {
				e.Errorf("Stat() = %+v", got)
			}
			infos, _ := e.list("", fs.ListOptions{})
			if len(infos) == 0 || infos[len(infos)-1].Version != two.Version {
				e.Errorf("the listing tells another version than the write: %+v", infos)
			}
			if again := e.put("f", "two"); again.Version != two.Version {
				e.Logf("equal bytes have another version") // which is allowed
			}
		}},
		{"write/invisible before commit", func(e *env) {
			w, err := e.b.Write(e.ctx(), "f", fs.WriteOptions{Size: -1})
			e.check(err)
			_, err = io.WriteString(w, pattern(1<<20))
			e.check(err)
			e.gone("f")
			e.wantNames("")
			_, err = w.Commit(e.ctx())
			e.check(err)
			e.holds("f", pattern(1<<20))
		}},
		{"write/abort", func(e *env) {
			e.put("f", "old")
			for _, size := range []int{10, 2*int(e.b.Caps().PreferWrite) + 1} {
				w, err := e.b.Write(e.ctx(), "f", fs.WriteOptions{Size: -1})
				e.check(err)
				_, err = io.WriteString(w, pattern(size))
				e.check(err)
				e.check(w.Abort())
				e.check(w.Abort())
				_, err = w.Commit(e.ctx())
				e.want("commit after abort", err, fs.Invalid)
				_, err = w.Write([]byte("x"))
				e.want("write after abort", err, fs.Invalid)
			}
			e.holds("f", "old")
			e.nothingUnfinished()
		}},
		{"write/abort after commit", func(e *env) {
			w, err := e.b.Write(e.ctx(), "f", fs.WriteOptions{Size: 1})
			e.check(err)
			_, err = io.WriteString(w, "x")
			e.check(err)
			_, err = w.Commit(e.ctx())
			e.check(err)
			e.check(w.Abort())
			e.holds("f", "x")
		}},
		{"write/canceled", func(e *env) {
			e.put("f", "old")
			for _, size := range []int{10, int(e.b.Caps().PreferWrite) + 1} {
				ctx, cancel := context.WithCancel(e.ctx())
				w, err := e.b.Write(ctx, "f", fs.WriteOptions{Size: -1})
				e.check(err)
				_, err = io.WriteString(w, pattern(size))
				e.check(err)
				cancel()
				_, err = w.Commit(e.ctx())
				e.want("commit", err, fs.Canceled)
			}
			e.holds("f", "old")
			e.nothingUnfinished()
		}},
		{"write/other size than said", func(e *env) {
			for _, data := range []string{"", "1234", "123456", pattern(int(e.b.Caps().PreferWrite) + 1)} {
				w, err := e.b.Write(e.ctx(), "f", fs.WriteOptions{Size: 5})
				e.check(err)
				if _, err = io.WriteString(w, data); err == nil {
					_, err = w.Commit(e.ctx())
				}
				e.want(fmt.Sprintf("%d bytes", len(data)), err, fs.Invalid)
				e.check(w.Abort())
			}
			e.gone("f")
			e.nothingUnfinished()
		}},
		{"write/wrong checksum", func(e *env) {
			wrong := strings.Repeat("x", 16)
			for what, sums := range map[string]fs.Sums{
				"md5": {MD5: []byte(wrong)}, "crc32c": {CRC32C: []byte("xxxx")}, "sha256": {SHA256: []byte(wrong + wrong)},
			} {
				_, err := e.write("f", "hello", fs.WriteOptions{Sums: sums})
				e.want(what, err, fs.Checksum)
				e.gone("f")
			}
		}},
		{"write/right checksum", func(e *env) {
			sum, md := sha256.Sum256([]byte("hello")), md5.Sum([]byte("hello"))
			crc := crc32.New(crc32.MakeTable(crc32.Castagnoli))
			_, err := io.WriteString(crc, "hello")
			e.check(err)
			for _, sums := range []fs.Sums{{MD5: md[:]}, {SHA256: sum[:]}, {CRC32C: crc.Sum(nil)}, {MD5: md[:], SHA256: sum[:], CRC32C: crc.Sum(nil)}} {
				_, err := e.write("f", "hello", fs.WriteOptions{Sums: sums})
				e.check(err)
			}
			e.holds("f", "hello")
		}},
		{"write/without parents", func(e *env) {
			e.put("a/b/c/f", "x")
			e.wantNames("a/b", "c/")
		}},
	}
}

// writeBoth writes a file of that size, once said beforehand and once not.
func (e *env) writeBoth(key string, size int) {
	e.Helper()
	data := pattern(size)
	for _, said := range []int64{int64(size), -1} {
		w, err := e.b.Write(e.ctx(), key, fs.WriteOptions{Size: said})
		e.check(err)
		_, err = io.Copy(w, strings.NewReader(data))
		e.check(err)
		info, err := w.Commit(e.ctx())
		e.check(err)
		if got := e.stat(key); info.Size != int64(size) || got.Size != info.Size || got.Version != info.Version {
			e.Errorf("%d bytes: written %+v, found %+v", size, info, got)
		}
		e.holds(key, data)
	}
}

// nothingUnfinished fails the test if parts of an upload are left in the store.
func (e *env) nothingUnfinished() {
	e.Helper()
	u, ok := fs.As[fs.Uploads](e.b)
	if !ok {
		return
	}
	all, err := u.Unfinished(e.ctx())
	e.check(err)
	if len(all) > 0 {
		e.Errorf("uploads left over: %+v", all)
	}
}
