package s3

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// raw returns the object's key of a path.
func (b *Backend) raw(path string) string { return b.opts.Prefix + path }

// folder returns the prefix of the keys in a directory.
func (b *Backend) folder(path string) string {
	if path == "" {
		return b.opts.Prefix
	}
	return b.opts.Prefix + path + "/"
}

// checkKey returns an error if no object can be made under that path.
func (b *Backend) checkKey(op, path string) error {
	for name := range strings.SplitSeq(path, "/") {
		if err := fs.CheckName(name); err != nil {
			return &fs.Error{Op: op, Path: path, Kind: fs.KindOf(err), Err: err}
		}
	}
	caps := b.caps.Load()
	switch {
	case caps.MaxKey > 0 && len(b.raw(path)) > caps.MaxKey:
		return &fs.Error{Op: op, Path: path, Kind: fs.NameTooLong}
	case !utf8.ValidString(path), foreignName(b.raw(path)):
		return &fs.Error{Op: op, Path: path, Kind: fs.Name}
	case !caps.AnyName && strings.ContainsFunc(path, notXML):
		return &fs.Error{Op: op, Path: path, Kind: fs.Name, Hint: "this store cannot list names with control characters"}
	}
	return nil
}

// notXML reports whether XML 1.0 has no place for r.
func notXML(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}

// foreignName reports whether a key belongs to a server's own temporary files, which some show at the top of a bucket.
func foreignName(raw string) bool {
	first, _, _ := strings.Cut(raw, "/")
	return strings.HasPrefix(first, ".sgwtmp")
}

// visible reports whether name, of a key in the directory with that prefix, is shown.
func visible(prefix, name string) bool { return fs.CheckName(name) == nil && !foreignName(prefix+name) }

// copySource returns the header's form of a source: escaped, but for the slashes.
func (b *Backend) copySource(raw string) string {
	parts := strings.Split(b.opts.Bucket+"/"+raw, "/")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(part), "+", "%2B")
	}
	return strings.Join(parts, "/")
}

// decodeKey returns a key of a listing; encoding is what the answer says, not what was asked for.
func decodeKey(key, encoding string) (string, bool) {
	if encoding != "url" {
		return key, true
	}
	decoded, err := url.QueryUnescape(key)
	return decoded, err == nil
}

// versionMark parts an ETag and a version id.
const versionMark = `"#`

// splitVersion returns the ETag, as the store gave it, and the version id, which may be "".
func splitVersion(v fs.Version) (etag, id string) {
	if isSoft(v) {
		etag, id, _ = strings.Cut(string(v), "#")
		return etag, id
	}
	i := strings.LastIndex(string(v), versionMark)
	if i < 0 {
		return string(v), ""
	}
	return string(v)[:i+1], string(v)[i+len(versionMark):]
}
