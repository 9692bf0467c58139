package s3

import (
	"fmt"
	"maps"
	"math"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// The keys of user metadata, as they come: in lower case, without x-amz-meta-.
const (
	keyMTime   = "mtime" // seconds, with a fraction: rclone's and s3fs's
	keyMode    = "mode"  // decimal st_mode: s3fs's
	keyLink    = "symlink-target"
	keyRdev    = "jd-rdev" // decimal st_rdev of a device
	keyFileID  = "jd-id"
	keyWriteID = "jd-wid"
)

// Keys of others that are read and not written.
const (
	keyMTimeGcsfuse = "gcsfuse_mtime"                 // RFC 3339
	keyMTimeGoogle  = "goog-reserved-file-mtime"      // whole seconds
	keyLinkGeesefs  = "--symlink-target"              // percent-encoded
	keyLinkGcsfuse  = "gcsfuse_symlink_target"        // raw
	keyIsLink       = "goog-reserved-file-is-symlink" // the target is the body
)

// maxMetadata is how many bytes keys and values may have together.
const maxMetadata = 2048

// maxLinkInMetadata is how long a target may be, encoded, to be told there; a longer one is in the body alone.
const maxLinkInMetadata = 1024

// encodeAttributes returns the user metadata of a version.
func encodeAttributes(o fs.WriteOptions) (map[string]string, error) {
	m := map[string]string{}
	for k, v := range o.Meta {
		k = strings.ToLower(k)
		if !validKey(k) {
			return nil, &fs.Error{Kind: fs.Invalid, Err: fmt.Errorf("the metadata key %q cannot be kept", k)}
		}
		m[k] = encodeValue(v)
	}
	if !o.ModTime.IsZero() {
		m[keyMTime] = formatTime(o.ModTime)
	}
	if mode, ok := statMode(o); ok {
		m[keyMode] = strconv.FormatUint(uint64(mode), 10)
	}
	if link := encodeValue(o.Link); o.Link != "" && len(link) <= maxLinkInMetadata {
		m[keyLink] = link
	}
	if o.Special.IsDevice() {
		m[keyRdev] = strconv.FormatUint(uint64(o.Special.Rdev), 10)
	}
	if !o.FileID.IsZero() {
		m[keyFileID] = o.FileID.String()
	}
	if o.WriteID != "" {
		m[keyWriteID] = encodeValue(o.WriteID)
	}
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
	}
	if size > maxMetadata {
		return nil, &fs.Error{Kind: fs.TooLarge, Err: fmt.Errorf("%d bytes of metadata, the store takes %d", size, maxMetadata)}
	}
	return m, nil
}

// markerAttributes applies a patch to what a marker tells, and returns its user metadata.
func markerAttributes(info *fs.Info, p fs.MetaPatch) (map[string]string, error) {
	o := fs.WriteOptions{Meta: maps.Clone(info.Meta), WriteID: info.WriteID, FileID: info.FileID}
	if !info.ModTime.Equal(info.Stored) {
		o.ModTime = info.ModTime
	}
	for k, v := range p.Meta {
		if o.Meta == nil {
			o.Meta = map[string]string{}
		}
		if o.Meta[k] = v; v == "" {
			delete(o.Meta, k)
		}
	}
	if p.ModTime != nil {
		o.ModTime, info.ModTime = *p.ModTime, *p.ModTime
	}
	if p.FileID != nil {
		o.FileID, info.FileID = *p.FileID, *p.FileID
	}
	if p.Mode != nil {
		info.Mode, info.HasMode = *p.Mode&fs.ModePerm, true
	}
	info.Meta = o.Meta
	m, err := encodeAttributes(o)
	if err == nil && info.HasMode {
		m[keyMode] = strconv.FormatUint(uint64(fs.ModeDir|info.Mode), 10)
	}
	return m, err
}

func validKey(k string) bool {
	return k != "" && !strings.ContainsFunc(k, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

// statMode returns what the key mode says of a version, if it says anything: the type of a symlink, FIFO, socket or device is told by it.
func statMode(o fs.WriteOptions) (uint32, bool) {
	perm := o.Mode & fs.ModePerm
	switch {
	case o.Link != "" && !o.HasMode:
		return fs.ModeSymlink | 0o777, true
	case o.Link != "":
		return fs.ModeSymlink | perm, true
	case o.Special.Known():
		return o.Special.Mode | perm, true
	}
	return fs.ModeFile | perm, o.HasMode
}

// formatTime writes seconds with nine digits of fraction, also before 1970.
func formatTime(t time.Time) string {
	seconds, nanos := t.Unix(), t.Nanosecond()
	if seconds < 0 && nanos > 0 {
		return fmt.Sprintf("-%d.%09d", -seconds-1, 1_000_000_000-nanos)
	}
	return fmt.Sprintf("%d.%09d", seconds, nanos)
}

// parseTime reads seconds with or without a fraction.
func parseTime(s string) (time.Time, bool) {
	text, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || seconds > maxSeconds {
		return time.Time{}, false
	}
	nanos := uint64(0)
	if fraction != "" {
		fraction = (fraction + "000000000")[:9]
		if nanos, err = strconv.ParseUint(fraction, 10, 63); err != nil {
			return time.Time{}, false
		}
	}
	if negative {
		return time.Unix(-int64(seconds), -int64(nanos)), true
	}
	return time.Unix(int64(seconds), int64(nanos)), true
}

// maxSeconds is the year 9999: what a time.Time can tell in JSON.
const maxSeconds = 253402300799

// decodeAttributes fills in what user metadata says. inBody tells that the target of a symlink is the object's contents.
func decodeAttributes(info *fs.Info, m map[string]string) (inBody bool) {
	var typ uint32
	special := decodeSpecial(info, m)
	for k, v := range m {
		switch k = strings.ToLower(k); k {
		case keyMTime, keyMTimeGcsfuse, keyMTimeGoogle, keyLink, keyLinkGeesefs, keyLinkGcsfuse, keyIsLink, keyRdev:
		case keyMode:
			typ = decodeMode(info, v, special)
		case keyFileID:
			info.FileID, _ = fs.ParseFileID(v) // an id that is none is none
		case keyWriteID:
			info.WriteID = decodeValue(v)
		default:
			if info.Meta == nil {
				info.Meta = map[string]string{}
			}
			info.Meta[k] = decodeValue(v)
		}
	}
	decodeTime(info, m)
	if inBody = decodeLink(info, m, typ == fs.ModeSymlink); info.Type == fs.File && special.Known() {
		info.Type, info.Special = fs.Other, special
	}
	return inBody
}

func decodeTime(info *fs.Info, m map[string]string) {
	for _, key := range []string{keyMTime, keyMTimeGoogle} {
		if t, ok := parseTime(m[key]); ok {
			info.ModTime = t
			return
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, m[keyMTimeGcsfuse]); err == nil {
		info.ModTime = t
	}
}

// decodeMode reads a st_mode, decimal as s3fs writes it or octal as rclone does: whichever has a possible type. It returns the type bits.
func decodeMode(info *fs.Info, v string, special fs.Special) (typ uint32) {
	decimal, err := strconv.ParseUint(v, 10, 32)
	octal, octalErr := strconv.ParseUint(v, 8, 32)
	mode := decimal
	possible := func(mode uint64) bool { return possibleMode(mode) || special.Known() }
	if octalErr == nil && (strings.HasPrefix(v, "0") || err != nil || !possible(decimal)) && possibleMode(octal) {
		mode, err = octal, nil
	}
	if err != nil || mode > math.MaxUint16 || !possible(mode) {
		return 0
	}
	info.Mode, info.HasMode = uint32(mode)&fs.ModePerm, true
	return uint32(mode) & fs.ModeType
}

// possibleMode reports whether the type bits are those of a file, a directory or a symlink, or none.
func possibleMode(mode uint64) bool {
	switch uint32(mode) & 0xfffff & ^fs.ModePerm {
	case 0, fs.ModeFile, fs.ModeDir, fs.ModeSymlink:
		return true
	}
	return false
}

// decodeSpecial returns what an empty object is whose mode is decimal and says that it is a FIFO, socket or device. A device has a number
// of our own: without one nobody knows which it is. What has contents is a file whatever its mode is, or they would be hidden.
func decodeSpecial(info *fs.Info, m map[string]string) fs.Special {
	mode, err := strconv.ParseUint(m[keyMode], 10, 16)
	s := fs.Special{Mode: uint32(mode) & fs.ModeType}
	if err != nil || info.Size != 0 || strings.HasPrefix(m[keyMode], "0") || !s.Known() {
		return fs.Special{}
	}
	if s.IsDevice() {
		rdev, err := strconv.ParseUint(m[keyRdev], 10, 32)
		if err != nil {
			return fs.Special{}
		}
		s.Rdev = uint32(rdev)
	}
	return s
}

func decodeLink(info *fs.Info, m map[string]string, linkMode bool) (inBody bool) {
	for _, key := range []string{keyLink, keyLinkGeesefs} {
		if v := m[key]; v != "" {
			info.Link = decodeValue(v)
		}
	}
	if v := m[keyLinkGcsfuse]; info.Link == "" && v != "" {
		info.Link = v
	}
	if strings.ContainsRune(info.Link, 0) {
		info.Link = ""
	}
	inBody = info.Link == "" && (linkMode || m[keyIsLink] == "true") && info.Size > 0 && info.Size <= maxLink
	if info.Link == "" && !inBody {
		return false
	}
	info.Type = fs.Symlink
	if !inBody {
		info.Size = int64(len(info.Link))
	}
	return inBody
}

// maxLink is how long a symlink's target can be.
const maxLink = 4095

// encodeValue makes s one word of ASCII, which is none of RFC 2047.
func encodeValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '=' && i+1 < len(s) && s[i+1] == '?' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decodeValue reads what encodeValue wrote, and what others may have: RFC 2047 words as stores make of bytes over 127, and plain text.
func decodeValue(s string) string {
	if strings.Contains(s, "=?") {
		if decoded, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
			s = decoded
		}
	}
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}
