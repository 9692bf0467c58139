package backendtest

import (
	"maps"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func attributeCases() []testCase {
	return []testCase{
		{"attributes/all", func(e *env) {
			o := fullOptions()
			written, err := e.write("f", "x", o)
			e.check(err)
			e.wantAttributes("Commit", written, o)
			e.wantAttributes("Stat", e.stat("f"), o)
			r, err := e.b.Read(e.ctx(), "f", fs.ReadOptions{})
			e.check(err)
			defer r.Close()
			e.wantAttributes("Read", r.Info(), o)
		}},
		{"attributes/in parts", func(e *env) {
			o := fullOptions()
			_, err := e.write("f", pattern(int(e.b.Caps().PreferWrite)+1), o)
			e.check(err)
			e.wantAttributes("Stat", e.stat("f"), o)
		}},
		{"attributes/times", func(e *env) {
			if !e.b.Caps().ModTimeWritable {
				e.Skip("the store sets times itself")
			}
			for _, at := range []time.Time{
				time.Unix(1_700_000_000, 123_456_789), time.Unix(0, 0), time.Unix(0, 1), time.Unix(-1, 500_000_000), time.Unix(-1_000_000, 0),
				time.Unix(1<<33, 999_999_999),
			} {
				_, err := e.write("f", "x", fs.WriteOptions{ModTime: at})
				e.check(err)
				if got, want := e.stat("f").ModTime, at.Truncate(e.b.Caps().MTimePrecision); !got.Equal(want) {
					e.Errorf("time %v, want %v", got, want)
				}
			}
		}},
		{"attributes/none", func(e *env) {
			start := time.Now().Add(-time.Hour)
			e.put("f", "x")
			got := e.stat("f")
			if got.HasMode || got.Link != "" || !got.FileID.IsZero() || got.WriteID != "" || len(got.Meta) != 0 {
				e.Errorf("Stat() = %+v", got)
			}
			if got.ModTime.Before(start) || got.Stored.Before(start) {
				e.Errorf("times %v and %v", got.ModTime, got.Stored)
			}
		}},
		{"attributes/modes", func(e *env) {
			for _, mode := range []uint32{0, 0o400, 0o644, 0o777, 0o4755, 0o7777} {
				_, err := e.write("f", "x", fs.WriteOptions{Mode: mode, HasMode: true})
				e.check(err)
				if got := e.stat("f"); got.Mode != mode || !got.HasMode || got.Type != fs.File {
					e.Errorf("mode %o: %+v", mode, got)
				}
			}
		}},
		{"attributes/metadata values", func(e *env) {
			values := map[string]string{
				"space": " a b ", "unicode": "é日😀", "percent": "100%", "encoded": "a%20b", "control": "a\tb\nc", "equals": "a=b;c=d,e",
				"word": "=?UTF-8?q?x?=", "dash-and_under.dot": "x",
			}
			_, err := e.write("f", "x", fs.WriteOptions{Meta: values})
			e.check(err)
			if got := e.stat("f").Meta; !maps.Equal(got, values) {
				e.Errorf("Meta = %q, want %q", got, values)
			}
		}},
		{"attributes/too much metadata", func(e *env) {
			_, err := e.write("f", "x", fs.WriteOptions{Meta: map[string]string{"k": strings.Repeat("v", 64<<10)}})
			if err == nil {
				return // the store takes it
			}
			e.want("write", err, fs.TooLarge)
			e.gone("f")
		}},
		{"attributes/caller's map", func(e *env) {
			meta := map[string]string{"k": "v"}
			info, err := e.write("f", "x", fs.WriteOptions{Meta: meta})
			e.check(err)
			meta["k"] = "changed"
			info.Meta["k"] = "changed too"
			if got := e.stat("f").Meta["k"]; got != "v" {
				e.Errorf("Meta[k] = %q", got)
			}
		}},
		{"attributes/symlinks", symlinks},
		{"attributes/specials", specials},
		{"attributes/type", func(e *env) {
			_, err := e.write("f.ipynb", "{}", fs.WriteOptions{MIME: "application/x-ipynb+json"})
			e.check(err)
			if got := e.stat("f.ipynb").MIME; got != "application/x-ipynb+json" {
				e.Errorf("MIME = %q", got)
			}
		}},
		{"attributes/of others", foreignAttributes},
	}
}

func fullOptions() fs.WriteOptions {
	return fs.WriteOptions{
		MIME: "text/csv", Meta: map[string]string{"uid": "1000", "author": "Zoë"}, ModTime: time.Unix(1_600_000_000, 5_000_000),
		Mode: 0o640, HasMode: true, FileID: fs.FileID{1, 2, 3}, WriteID: "w-1",
	}
}

func (e *env) wantAttributes(what string, got fs.Info, o fs.WriteOptions) {
	e.Helper()
	if got.MIME != o.MIME || !maps.Equal(got.Meta, o.Meta) || !got.ModTime.Equal(o.ModTime) || got.Mode != o.Mode || !got.HasMode ||
		got.FileID != o.FileID || got.WriteID != o.WriteID || got.Partial {
		e.Errorf("%s: %+v, want %+v", what, got, o)
	}
}

func symlinks(e *env) {
	for _, target := range []string{"f", "../x/y", "/abs/olute", "sp ace", "日本", "100%", strings.Repeat("long/", 200), strings.Repeat("日", 1300)} {
		written, err := e.write("l", "", fs.WriteOptions{Link: target})
		e.check(err)
		for what, got := range map[string]fs.Info{"Commit": written, "Stat": e.stat("l")} {
			if got.Type != fs.Symlink || got.Link != target || got.Size != int64(len(target)) {
				e.Errorf("%s of a link to %s: %+v", what, short(target), got)
			}
		}
		e.holds("l", target)
		_, err = e.b.Copy(e.ctx(), "l", "copy", fs.CopyOptions{})
		e.check(err)
		if got := e.stat("copy"); got.Type != fs.Symlink || got.Link != target {
			e.Errorf("copy of a link to %s: %+v", short(target), got)
		}
	}
	e.put("l", "a file again")
	if got := e.stat("l"); got.Type != fs.File || got.Link != "" {
		e.Errorf("after a file took the link's name: %+v", got)
	}
}

// specials writes, copies and changes FIFOs, sockets and devices.
func specials(e *env) {
	for _, special := range []fs.Special{{Mode: fs.ModeFIFO}, {Mode: fs.ModeSocket}, {Mode: fs.ModeChar, Rdev: 0x103}, {Mode: fs.ModeBlock, Rdev: 0}} {
		written, err := e.write("s", "", fs.WriteOptions{Special: special, Mode: 0o640, HasMode: true})
		e.check(err)
		_, err = e.b.Copy(e.ctx(), "s", "copy", fs.CopyOptions{WriteID: "w"})
		e.check(err)
		for what, got := range map[string]fs.Info{"Commit": written, "Stat": e.stat("s"), "Stat of a copy": e.stat("copy")} {
			if got.Type != fs.Other || got.Special != special || got.Mode != 0o640 || got.Size != 0 {
				e.Errorf("%s of %+v: %+v", what, special, got)
			}
		}
		if setter, ok := fs.As[fs.MetaSetter](e.b); ok {
			mode := uint32(0o600)
			_, err := setter.SetMeta(e.ctx(), "s", fs.MetaPatch{Mode: &mode}, fs.Cond{})
			e.check(err)
			if got := e.stat("s"); got.Type != fs.Other || got.Special != special || got.Mode != mode {
				e.Errorf("%+v after a change of its mode: %+v", special, got)
			}
		}
	}
	_, err := e.write("s", "x", fs.WriteOptions{Special: fs.Special{Mode: fs.ModeFIFO}})
	e.want("a FIFO with contents", err, fs.Invalid)
	_, err = e.write("s", "", fs.WriteOptions{Special: fs.Special{Mode: fs.ModeDir}})
	e.want("a special that is none", err, fs.Invalid)
	e.put("s", "")
	if got := e.stat("s"); got.Type != fs.File || got.Special != (fs.Special{}) {
		e.Errorf("after a file took the FIFO's name: %+v", got)
	}
}

// foreignAttributes reads what other programs write beside objects.
func foreignAttributes(e *env) {
	at := time.Unix(1_500_000_000, 0)
	for _, tt := range []struct {
		who, data string
		metadata  map[string]string
		want      fs.Info // Type, ModTime, Mode, HasMode, Link, Special
	}{
		{"rclone", "x", map[string]string{"mtime": "1500000000.25"}, fs.Info{Type: fs.File, ModTime: at.Add(250 * time.Millisecond)}},
		{"rclone with metadata", "x", map[string]string{"mtime": "1500000000", "mode": "100640"}, fs.Info{Type: fs.File, ModTime: at, Mode: 0o640, HasMode: true}},
		{"s3fs", "x", map[string]string{"mtime": "1500000000", "mode": "33188", "uid": "0"}, fs.Info{Type: fs.File, ModTime: at, Mode: 0o644, HasMode: true}},
		{"s3fs link", "to/there", map[string]string{"mtime": "1500000000", "mode": "41471"}, fs.Info{Type: fs.Symlink, ModTime: at, Mode: 0o777, HasMode: true, Link: "to/there"}},
		{"gcsfuse", "x", map[string]string{"gcsfuse_mtime": "2017-07-14T02:40:00Z"}, fs.Info{Type: fs.File, ModTime: at}},
		{"gcsfuse link", "x", map[string]string{"gcsfuse_symlink_target": "a/b", "mtime": "1500000000"}, fs.Info{Type: fs.Symlink, ModTime: at, Link: "a/b"}},
		{"newer gcsfuse link", "a/b", map[string]string{"goog-reserved-file-is-symlink": "true", "mtime": "1500000000"}, fs.Info{Type: fs.Symlink, ModTime: at, Link: "a/b"}},
		{"gsutil", "x", map[string]string{"goog-reserved-file-mtime": "1500000000"}, fs.Info{Type: fs.File, ModTime: at}},
		{"geesefs link", "", map[string]string{"--symlink-target": "a%20b", "mtime": "1500000000"}, fs.Info{Type: fs.Symlink, ModTime: at, Link: "a b"}},
		{"s3fs FIFO", "", map[string]string{"mtime": "1500000000", "mode": "4516"}, fs.Info{Type: fs.Other, ModTime: at, Mode: 0o644, HasMode: true, Special: fs.Special{Mode: fs.ModeFIFO}}},
		{"s3fs socket", "", map[string]string{"mtime": "1500000000", "mode": "49645"}, fs.Info{Type: fs.Other, ModTime: at, Mode: 0o755, HasMode: true, Special: fs.Special{Mode: fs.ModeSocket}}},
		{"FIFO with contents", "x", map[string]string{"mtime": "1500000000", "mode": "4480"}, fs.Info{Type: fs.File, ModTime: at}},
		{"s3fs device", "", map[string]string{"mtime": "1500000000", "mode": "8612"}, fs.Info{Type: fs.File, ModTime: at}},
		{"octal mode with setuid", "x", map[string]string{"mtime": "1500000000", "mode": "4755"}, fs.Info{Type: fs.File, ModTime: at, Mode: 0o4755, HasMode: true}},
		{"nonsense", "x", map[string]string{"mtime": "1500000000", "mode": "rw-r--r--", "jd-id": "xyz"}, fs.Info{Type: fs.File, ModTime: at}},
	} {
		e.inject("f", tt.data, tt.metadata)
		got := e.stat("f")
		if got.Type != tt.want.Type || !got.ModTime.Equal(tt.want.ModTime) || got.Mode != tt.want.Mode || got.HasMode != tt.want.HasMode || got.Link != tt.want.Link || got.Special != tt.want.Special {
			e.Errorf("%s: %+v, want %+v", tt.who, got, tt.want)
		}
	}
}
