package s3

import (
	"testing"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// FuzzAttributes reads any user metadata: what comes out is always possible, and can be written and read again.
func FuzzAttributes(f *testing.F) {
	for _, seed := range [][2]string{
		{"mtime", "1500000000.25"}, {"mtime", "-0.5"}, {"mtime", "99999999999999999999"}, {"mode", "33188"}, {"mode", "0100644"}, {"mode", "41471"},
		{"gcsfuse_mtime", "2017-07-14T02:40:00Z"}, {"symlink-target", "%00"}, {"jd-id", "0102"}, {"jd-wid", "%zz"}, {"k", "=?UTF-8?q?=C3=A9?="}, {"k", "a%20b"}, {"mode", "4516"}, {"mode", "49645"}, {"mode", "8612"},
	} {
		f.Add(seed[0], seed[1], int64(8))
	}
	f.Fuzz(func(t *testing.T, key, value string, size int64) {
		info := fs.Info{Type: fs.File, Size: max(size, 0)}
		inBody := decodeAttributes(&info, map[string]string{key: value})
		if info.Mode&^fs.ModePerm != 0 {
			t.Errorf("mode %o", info.Mode)
		}
		if info.Type == fs.Other != info.Special.Known() || info.Type == fs.Other && size > 0 {
			t.Errorf("type %v, %+v, %d bytes", info.Type, info.Special, size)
		}
		if (info.Type == fs.Symlink) != (info.Link != "" || inBody) {
			t.Errorf("type %v, target %q, in the body %v", info.Type, info.Link, inBody)
		}
		o := fs.WriteOptions{Meta: info.Meta, ModTime: info.ModTime, Mode: info.Mode, HasMode: info.HasMode, Link: info.Link, Special: info.Special, FileID: info.FileID, WriteID: info.WriteID}
		again, err := encodeAttributes(o)
		if err != nil {
			return // too long, or a key that cannot be written
		}
		back := fs.Info{Type: fs.File, Size: info.Size}
		decodeAttributes(&back, again)
		if back.Special != info.Special || back.Link != info.Link && len(info.Link) < maxLinkInMetadata/3 || back.FileID != info.FileID || back.WriteID != info.WriteID || !back.ModTime.Equal(info.ModTime) {
			t.Errorf("%+v became %+v", info, back)
		}
		for k, v := range info.Meta {
			if back.Meta[k] != v {
				t.Errorf("%q: %q became %q", k, v, back.Meta[k])
			}
		}
	})
}

// FuzzKeys turns any paths into keys and back.
func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"a", "a b", "a+b%20", "é/日", "a?versionId=x", "\x01", "..", "a//b"} {
		f.Add(seed)
	}
	b, err := New(Options{Bucket: "bucket", Prefix: "p/", Endpoint: "http://localhost"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if b.checkKey("fuzz", path) == nil {
			if !utf8.ValidString(path) {
				t.Errorf("%q is taken", path)
			}
			if _, err := fs.ParsePath(path); err != nil {
				t.Errorf("%q is taken: %v", path, err)
			}
		}
		for _, c := range b.copySource(b.raw(path)) {
			if c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '+' {
				t.Errorf("copy source %q", b.copySource(b.raw(path)))
			}
		}
		if decoded, ok := decodeKey(path, ""); !ok || decoded != path {
			t.Errorf("%q became %q", path, decoded)
		}
		v := fs.Version(`"etag"#` + path)
		if etag, id := splitVersion(v); etag != `"etag"` && id == "" {
			t.Errorf("%q: %q and %q", v, etag, id)
		}
	})
}
