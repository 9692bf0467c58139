package backendtest

import (
	"maps"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func changeCases() []testCase {
	return []testCase{
		{"changes/remove", func(e *env) {
			e.put("f", "x")
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{}))
			e.gone("f")
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{}))
		}},
		{"changes/remove wants a version", func(e *env) {
			err := e.b.Remove(e.ctx(), "f", fs.RemoveOptions{Cond: fs.Cond{IfAbsent: true}})
			e.want("remove", err, fs.Invalid)
		}},
		{"changes/copy", func(e *env) {
			o := fullOptions()
			src, err := e.write("a/f", "contents", o)
			e.check(err)
			info, err := e.b.Copy(e.ctx(), "a/f", "b/g", fs.CopyOptions{SrcVersion: src.Version})
			e.check(err)
			if info.Key != "b/g" || info.Size != 8 || info.Version != e.stat("b/g").Version {
				e.Errorf("Copy() = %+v", info)
			}
			e.holds("b/g", "contents")
			e.wantAttributes("copy", e.stat("b/g"), o)
			e.holds("a/f", "contents")
		}},
		{"changes/copy with other metadata", func(e *env) {
			o := fullOptions()
			_, err := e.write("f", "contents", o)
			e.check(err)
			mode, none, mime, at := uint32(0o600), fs.FileID{}, "text/plain", time.Unix(1_650_000_000, 0)
			_, err = e.b.Copy(e.ctx(), "f", "g", fs.CopyOptions{WriteID: "w-2", Meta: &fs.MetaPatch{
				Mode: &mode, FileID: &none, MIME: &mime, ModTime: &at, Meta: map[string]string{"uid": "", "new": "yes"},
			}})
			e.check(err)
			o.Mode, o.FileID, o.MIME, o.ModTime, o.WriteID, o.Meta = mode, none, mime, at, "w-2", map[string]string{"author": "Zoë", "new": "yes"}
			e.wantAttributes("copy", e.stat("g"), o)
			e.holds("g", "contents")
		}},
		{"changes/copy over", func(e *env) {
			e.put("f", "new")
			e.put("g", "old")
			_, err := e.b.Copy(e.ctx(), "f", "g", fs.CopyOptions{})
			e.check(err)
			e.holds("g", "new")
		}},
		{"changes/copy of nothing", func(e *env) {
			_, err := e.b.Copy(e.ctx(), "f", "g", fs.CopyOptions{})
			e.want("copy", err, fs.NotExist)
			e.gone("g")
		}},
		{"changes/set metadata", setMeta},
		{"changes/set metadata of nothing", func(e *env) {
			m, ok := fs.As[fs.MetaSetter](e.b)
			if !ok {
				e.Skip("the store cannot change metadata alone")
			}
			_, err := m.SetMeta(e.ctx(), "f", fs.MetaPatch{}, fs.Cond{})
			e.want("set", err, fs.NotExist)
		}},
		{"changes/recheck", func(e *env) {
			r, ok := fs.As[fs.Rechecker](e.b)
			if !ok {
				e.Skip("the store has no cheaper look")
			}
			e.put("f", "x")
			info, err := r.Recheck(e.ctx(), "f")
			e.check(err)
			if want := e.stat("f"); info.Version != want.Version || info.Size != 1 {
				e.Errorf("Recheck() = %+v, want %+v", info, want)
			}
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{}))
			_, err = r.Recheck(e.ctx(), "f")
			e.want("recheck", err, fs.NotExist)
			e.put("f/in", "x")
			info, err = r.Recheck(e.ctx(), "f")
			e.check(err)
			if info.Type != fs.Directory {
				e.Errorf("Recheck() = %+v, want a directory", info)
			}
		}},
		{"changes/probe", func(e *env) {
			p, ok := fs.As[fs.Prober](e.b)
			if !ok {
				e.Skip("the store does not probe")
			}
			e.put("f", "x")
			caps, err := p.Probe(e.ctx())
			e.check(err)
			if caps != e.b.Caps() {
				e.Errorf("Probe() = %+v, Caps() = %+v", caps, e.b.Caps())
			}
			e.wantNames("", "f")
			e.holds("f", "x")
			e.nothingUnfinished()
		}},
	}
}

func setMeta(e *env) {
	m, ok := fs.As[fs.MetaSetter](e.b)
	if !ok {
		e.Skip("the store cannot change metadata alone")
	}
	o := fullOptions()
	old, err := e.write("f", "contents", o)
	e.check(err)
	mode, at := uint32(0o755), time.Unix(1_650_000_000, 0)
	info, err := m.SetMeta(e.ctx(), "f", fs.MetaPatch{Mode: &mode, ModTime: &at, Meta: map[string]string{"uid": ""}}, fs.Cond{IfVersion: old.Version})
	e.check(err)
	o.Mode, o.ModTime, o.Meta = mode, at, map[string]string{"author": "Zoë"}
	e.wantAttributes("SetMeta", info, o)
	e.wantAttributes("Stat", e.stat("f"), o)
	e.holds("f", "contents")
	if got := e.stat("f"); got.Version != info.Version {
		e.Errorf("version %q, SetMeta said %q", got.Version, info.Version)
	}
	_, err = m.SetMeta(e.ctx(), "f", fs.MetaPatch{Mode: &mode}, fs.Cond{IfVersion: stale})
	e.want("stale version", err, fs.Conflict)
	if got := e.stat("f").Meta; !maps.Equal(got, o.Meta) {
		e.Errorf("Meta = %q after a refused change", got)
	}
}
