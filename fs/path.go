package fs

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxName is the longest file name in bytes, as Linux has it.
const MaxName = 255

// ReservedName is the folder at a drive's root that belongs to the daemon. The tree hides it and doors refuse it.
const ReservedName = ".jupyter-drive"

// Path names a file in the shared tree: slash-separated bytes without leading or trailing slash. The first component is the
// drive; "" is the root, which holds only drives. A Path made by [ParsePath] or [Path.Join] is always clean.
type Path string

// ParsePath returns s as a clean path. One leading and any trailing slash are dropped. Empty components, ".", ".." and NUL are
// errors of kind Name, a component over [MaxName] bytes one of kind NameTooLong.
func ParsePath(s string) (Path, error) {
	s = strings.Trim(s, "/")
	if s == "" {
		return "", nil
	}
	for name := range strings.SplitSeq(s, "/") {
		if err := CheckName(name); err != nil {
			return "", &Error{Op: "path", Path: s, Kind: KindOf(err), Err: errors.Unwrap(err)}
		}
	}
	return Path(s), nil
}

// Join returns the path of the child with that name.
func (p Path) Join(name string) Path {
	if p == "" {
		return Path(name)
	}
	return p + "/" + Path(name)
}

// Drive returns the first component, or "" for the root.
func (p Path) Drive() string {
	drive, _, _ := strings.Cut(string(p), "/")
	return drive
}

// Rel returns what follows the drive: the path inside it, "" for the drive's own root.
func (p Path) Rel() string {
	_, rel, _ := strings.Cut(string(p), "/")
	return rel
}

// Dir returns the parent; the root's parent is the root.
func (p Path) Dir() Path {
	if i := strings.LastIndexByte(string(p), '/'); i >= 0 {
		return p[:i]
	}
	return ""
}

// Base returns the last component, "" for the root.
func (p Path) Base() string {
	return string(p[strings.LastIndexByte(string(p), '/')+1:])
}

// Within reports whether p is dir or lies below it.
func (p Path) Within(dir Path) bool {
	return dir == "" || p == dir || strings.HasPrefix(string(p), string(dir)+"/")
}

// UTF8 reports whether the path can be shown in JSON. Paths that cannot are visible in the mount, not in the API.
func (p Path) UTF8() bool { return utf8.ValidString(string(p)) }

// CheckName returns nil if name can be a file's name: 1 to [MaxName] bytes, no slash, no NUL, neither "." nor "..".
func CheckName(name string) error {
	switch {
	case name == "":
		return &Error{Op: "name", Kind: Name, Err: errors.New("the name is empty")}
	case name == "." || name == "..":
		return &Error{Op: "name", Path: name, Kind: Name, Err: errors.New(`"." and ".." are not names`)}
	case strings.ContainsAny(name, "/\x00"):
		return &Error{Op: "name", Path: name, Kind: Name, Err: errors.New("a name holds no slash and no NUL")}
	case len(name) > MaxName:
		return &Error{Op: "name", Path: name[:32] + "…", Kind: NameTooLong, Err: errors.New("the name is over 255 bytes")}
	}
	return nil
}

// CheckDriveName returns nil if name can name a drive: [a-z0-9._-]{1,64}, neither "." nor "..".
func CheckDriveName(name string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	}
	if name == "" || len(name) > 64 || name == "." || name == ".." || name == ReservedName || strings.ContainsFunc(name, bad) {
		return &Error{Op: "drive name", Path: name, Kind: Name,
			Err:  errors.New("a drive's name has 1 to 64 of a-z 0-9 . _ -"),
			Hint: `choose a name such as "data"`}
	}
	return nil
}
