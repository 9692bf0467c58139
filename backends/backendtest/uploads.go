package backendtest

import (
	"slices"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func uploadCases() []testCase {
	cases := []struct {
		name string
		run  func(e *env, u fs.Uploads)
	}{
		{"uploads/put", func(e *env, u fs.Uploads) {
			o := fullOptions()
			o.Size = 1000
			info, err := u.Put(e.ctx(), "f", strings.NewReader(pattern(1000)), o)
			e.check(err)
			e.wantAttributes("Put", info, o)
			e.holds("f", pattern(1000))
			o.Cond = fs.Cond{IfAbsent: true}
			if _, err = u.Put(e.ctx(), "f", strings.NewReader(pattern(1000)), o); err != nil {
				e.Errorf("again: %v", err)
			}
			o.WriteID = "other"
			_, err = u.Put(e.ctx(), "f", strings.NewReader(pattern(1000)), o)
			e.want("put", err, fs.Exist)
		}},
		{"uploads/put of a file that is too short", func(e *env, u fs.Uploads) {
			_, err := u.Put(e.ctx(), "f", strings.NewReader("short"), fs.WriteOptions{Size: 6})
			e.want("put", err, fs.Invalid)
			_, err = u.Put(e.ctx(), "f", strings.NewReader("short"), fs.WriteOptions{Size: -1})
			e.want("put of an unknown size", err, fs.Invalid)
			e.gone("f")
		}},
		{"uploads/in parts", inParts},
		{"uploads/goes on elsewhere", goesOnElsewhere},
		{"uploads/copied parts", copiedParts},
		{"uploads/conditions", uploadConditions},
		{"uploads/abort", func(e *env, u fs.Uploads) {
			up, err := u.BeginUpload(e.ctx(), "f", fs.WriteOptions{Size: -1})
			e.check(err)
			_, err = u.PutPart(e.ctx(), up, 1, strings.NewReader("x"), 1)
			e.check(err)
			e.gone("f")
			e.check(u.AbortUpload(e.ctx(), up))
			e.check(u.AbortUpload(e.ctx(), up))
			_, err = u.PutPart(e.ctx(), up, 1, strings.NewReader("x"), 1)
			e.want("part after abort", err, fs.NotExist)
			_, err = u.UploadedParts(e.ctx(), up)
			e.want("parts after abort", err, fs.NotExist)
			e.nothingUnfinished()
			e.gone("f")
		}},
		{"uploads/wrong parts", func(e *env, u fs.Uploads) {
			up, err := u.BeginUpload(e.ctx(), "f", fs.WriteOptions{Size: -1})
			e.check(err)
			part, err := u.PutPart(e.ctx(), up, 1, strings.NewReader("x"), 1)
			e.check(err)
			other := part
			other.Tag = string(stale)
			for what, parts := range map[string][]fs.Part{"another tag": {other}, "a part that is not there": {part, {N: 2, Size: 1, Tag: part.Tag}}} {
				_, err = u.CompleteUpload(e.ctx(), up, parts, fs.WriteOptions{Size: -1})
				e.want(what, err, fs.Invalid)
			}
			e.gone("f")
			e.check(u.AbortUpload(e.ctx(), up))
		}},
		{"uploads/complete twice", func(e *env, u fs.Uploads) {
			o := fs.WriteOptions{Size: 1, WriteID: "w-7"}
			up, err := u.BeginUpload(e.ctx(), "f", o)
			e.check(err)
			part, err := u.PutPart(e.ctx(), up, 1, strings.NewReader("x"), 1)
			e.check(err)
			first, err := u.CompleteUpload(e.ctx(), up, []fs.Part{part}, o)
			e.check(err)
			second, err := u.CompleteUpload(e.ctx(), up, []fs.Part{part}, o)
			e.check(err)
			if first.Version != second.Version {
				e.Errorf("versions %q and %q", first.Version, second.Version)
			}
			e.put("f", "another's")
			if _, err = u.CompleteUpload(e.ctx(), up, []fs.Part{part}, o); err != nil { // a store may remember that it was completed
				e.want("complete after another's write", err, fs.NotExist)
			}
			e.holds("f", "another's")
		}},
	}
	var all []testCase
	for _, c := range cases {
		all = append(all, testCase{c.name, func(e *env) {
			u, ok := fs.As[fs.Uploads](e.b)
			if !ok {
				e.Skip("the store takes no parts")
			}
			c.run(e, u)
		}})
	}
	return all
}

// inParts sends three parts out of order and at the same time.
func inParts(e *env, u fs.Uploads) {
	o, least := fullOptions(), int(e.b.Caps().PartMin)
	data := pattern(2*least + 10)
	up, err := u.BeginUpload(e.ctx(), "d/f", o)
	e.check(err)
	parts := make([]fs.Part, 3)
	var all sync.WaitGroup
	for i := range parts {
		all.Go(func() {
			piece := data[i*least : min((i+1)*least, len(data))]
			part, err := u.PutPart(e.ctx(), up, i+1, strings.NewReader(piece), int64(len(piece)))
			if err != nil {
				e.Error(err)
			}
			parts[i] = part
		})
	}
	all.Wait()
	e.gone("d/f")
	have, err := u.UploadedParts(e.ctx(), up)
	e.check(err)
	if !slices.Equal(have, parts) {
		e.Errorf("UploadedParts() = %+v, want %+v", have, parts)
	}
	o.Size = int64(len(data))
	info, err := u.CompleteUpload(e.ctx(), up, parts, o)
	e.check(err)
	e.wantAttributes("CompleteUpload", info, o)
	e.wantAttributes("Stat", e.stat("d/f"), o)
	if got := e.stat("d/f"); got.Version != info.Version || got.Size != info.Size || got.Size != o.Size {
		e.Errorf("completed %+v, found %+v", info, got)
	}
	e.holds("d/f", data)
	e.nothingUnfinished()
}

// goesOnElsewhere completes an upload of which only what was kept is known.
func goesOnElsewhere(e *env, u fs.Uploads) {
	least := int(e.b.Caps().PartMin)
	begun, err := u.BeginUpload(e.ctx(), "f", fs.WriteOptions{Size: -1})
	e.check(err)
	_, err = u.PutPart(e.ctx(), begun, 1, strings.NewReader(pattern(least)), int64(least))
	e.check(err)
	_, err = u.PutPart(e.ctx(), begun, 2, strings.NewReader("torn"), 4)
	e.check(err)
	all, err := u.Unfinished(e.ctx())
	e.check(err)
	i := slices.IndexFunc(all, func(x fs.Upload) bool { return x.ID == begun.ID && x.Key == "f" })
	if i < 0 {
		e.Fatalf("Unfinished() = %+v, want %+v among them", all, begun)
	}
	again, err := u.PutPart(e.ctx(), all[i], 2, strings.NewReader("whole"), 5)
	e.check(err)
	parts, err := u.UploadedParts(e.ctx(), all[i])
	e.check(err)
	if len(parts) != 2 || parts[1] != again {
		e.Errorf("UploadedParts() = %+v", parts)
	}
	_, err = u.CompleteUpload(e.ctx(), all[i], parts, fs.WriteOptions{Size: -1})
	e.check(err)
	e.holds("f", pattern(least)+"whole")
}

// copiedParts changes the end of a file and copies the rest on the store's side.
func copiedParts(e *env, u fs.Uploads) {
	least := e.b.Caps().PartMin
	data := pattern(int(2 * least))
	base, err := e.write("f", data, fs.WriteOptions{})
	e.check(err)
	up, err := u.BeginUpload(e.ctx(), "f", fs.WriteOptions{Size: -1})
	e.check(err)
	_, err = u.CopyPart(e.ctx(), up, 1, fs.CopyRange{Key: "f", Version: stale, Off: 0, Size: least})
	e.want("copy of a stale version", err, fs.Conflict)
	one, err := u.CopyPart(e.ctx(), up, 1, fs.CopyRange{Key: "f", Version: base.Version, Off: 100, Size: least})
	e.check(err)
	two, err := u.PutPart(e.ctx(), up, 2, strings.NewReader("the end"), 7)
	e.check(err)
	_, err = u.CompleteUpload(e.ctx(), up, []fs.Part{one, two}, fs.WriteOptions{Size: least + 7, Cond: fs.Cond{IfVersion: base.Version}})
	e.check(err)
	e.holds("f", data[100:100+least]+"the end")
}

func uploadConditions(e *env, u fs.Uploads) {
	upload := func(data string, c fs.Cond) error {
		o := fs.WriteOptions{Size: int64(len(data)), Cond: c}
		up, err := u.BeginUpload(e.ctx(), "f", o)
		e.check(err)
		part, err := u.PutPart(e.ctx(), up, 1, strings.NewReader(data), o.Size)
		e.check(err)
		if _, err = u.CompleteUpload(e.ctx(), up, []fs.Part{part}, o); err != nil {
			e.check(u.AbortUpload(e.ctx(), up))
		}
		return err
	}
	e.check(upload("one", fs.Cond{IfAbsent: true}))
	e.want("if absent", upload("two", fs.Cond{IfAbsent: true}), fs.Exist)
	e.want("if stale", upload("two", fs.Cond{IfVersion: stale}), fs.Conflict)
	e.holds("f", "one")
	e.check(upload("two", fs.Cond{IfVersion: e.stat("f").Version}))
	e.holds("f", "two")
	e.nothingUnfinished()
}
