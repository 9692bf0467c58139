package backendtest

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const stale = fs.Version(`"0123456789abcdef0123456789abcdef"`)

func conditionCases() []testCase {
	return []testCase{
		{"conditions/if absent", func(e *env) {
			_, err := e.write("f", "one", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
			e.check(err)
			_, err = e.write("f", "two", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
			e.want("second write", err, fs.Exist)
			e.holds("f", "one")
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{}))
			_, err = e.write("f", "three", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
			e.check(err)
			e.holds("f", "three")
		}},
		{"conditions/if version", func(e *env) {
			one := e.put("f", "one")
			two, err := e.write("f", "two", fs.WriteOptions{Cond: fs.Cond{IfVersion: one.Version}})
			e.check(err)
			for _, v := range []fs.Version{one.Version, stale} {
				_, err = e.write("f", "three", fs.WriteOptions{Cond: fs.Cond{IfVersion: v}})
				e.want("write", err, fs.Conflict)
			}
			e.holds("f", "two")
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{}))
			_, err = e.write("f", "three", fs.WriteOptions{Cond: fs.Cond{IfVersion: two.Version}})
			e.want("write of a removed file", err, fs.NotExist, fs.Conflict)
			e.gone("f")
		}},
		{"conditions/back again", func(e *env) {
			one := e.put("f", "one")
			e.put("f", "two")
			back := e.put("f", "one")
			_, err := e.write("f", "three", fs.WriteOptions{Cond: fs.Cond{IfVersion: one.Version}})
			if one.Version == back.Version {
				e.check(err) // equal bytes, equal version: nobody's write is lost
				return
			}
			e.want("write", err, fs.Conflict)
		}},
		{"conditions/both", func(e *env) {
			_, err := e.write("f", "x", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true, IfVersion: stale}})
			e.want("write", err, fs.Invalid)
		}},
		{"conditions/in parts", func(e *env) {
			big := pattern(int(e.b.Caps().PreferWrite) + 1)
			one, err := e.write("f", big, fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
			e.check(err)
			_, err = e.write("f", big+"2", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
			e.want("second write", err, fs.Exist)
			_, err = e.write("f", big+"3", fs.WriteOptions{Cond: fs.Cond{IfVersion: stale}})
			e.want("stale write", err, fs.Conflict)
			e.holds("f", big)
			_, err = e.write("f", big+"4", fs.WriteOptions{Cond: fs.Cond{IfVersion: one.Version}})
			e.check(err)
			e.holds("f", big+"4")
			e.nothingUnfinished()
		}},
		{"conditions/the same write again", sameWriteAgain},
		{"conditions/write id is told", func(e *env) {
			info, err := e.write("f", "x", fs.WriteOptions{WriteID: "drive-1.7"})
			e.check(err)
			if got := e.stat("f"); got.WriteID != "drive-1.7" || info.WriteID != got.WriteID {
				e.Errorf("WriteID %q, %q in Stat", info.WriteID, got.WriteID)
			}
			e.put("f", "y")
			if got := e.stat("f"); got.WriteID != "" {
				e.Errorf("WriteID of another write is still %q", got.WriteID)
			}
		}},
		{"conditions/remove", func(e *env) {
			one := e.put("f", "one")
			two := e.put("f", "two")
			e.want("remove", e.b.Remove(e.ctx(), "f", fs.RemoveOptions{Cond: fs.Cond{IfVersion: one.Version}}), fs.Conflict)
			e.holds("f", "two")
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{Cond: fs.Cond{IfVersion: two.Version}}))
			e.gone("f")
			if err := e.b.Remove(e.ctx(), "f", fs.RemoveOptions{Cond: fs.Cond{IfVersion: two.Version}}); err != nil {
				e.want("remove again", err, fs.NotExist)
			}
		}},
		{"conditions/copy", func(e *env) {
			old := e.put("src", "old")
			src := e.put("src", "source")
			dst := e.put("dst", "target")
			_, err := e.b.Copy(e.ctx(), "src", "dst", fs.CopyOptions{SrcVersion: old.Version})
			e.want("stale source", err, fs.Conflict)
			_, err = e.b.Copy(e.ctx(), "src", "dst", fs.CopyOptions{Dst: fs.Cond{IfAbsent: true}})
			e.want("target is there", err, fs.Exist)
			_, err = e.b.Copy(e.ctx(), "src", "dst", fs.CopyOptions{Dst: fs.Cond{IfVersion: stale}})
			e.want("stale target", err, fs.Conflict)
			_, err = e.b.Copy(e.ctx(), "src", "none", fs.CopyOptions{Dst: fs.Cond{IfVersion: dst.Version}})
			e.want("target is not there", err, fs.NotExist, fs.Conflict)
			e.holds("dst", "target")
			_, err = e.b.Copy(e.ctx(), "src", "dst", fs.CopyOptions{SrcVersion: src.Version, Dst: fs.Cond{IfVersion: dst.Version}})
			e.check(err)
			_, err = e.b.Copy(e.ctx(), "src", "new", fs.CopyOptions{Dst: fs.Cond{IfAbsent: true}})
			e.check(err)
			e.holds("dst", "source")
			e.holds("new", "source")
		}},
		{"conditions/one winner if absent", func(e *env) { e.race(fs.Exist, func(fs.Version) fs.Cond { return fs.Cond{IfAbsent: true} }) }},
		{"conditions/one winner if version", func(e *env) {
			e.race(fs.Conflict, func(v fs.Version) fs.Cond { return fs.Cond{IfVersion: v} })
		}},
		{"conditions/counting", counting},
	}
}

// sameWriteAgain is what happens after an answer was lost: the writer asks again with the same condition and id.
func sameWriteAgain(e *env) {
	absent := fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}, WriteID: "w1"}
	one, err := e.write("f", "one", absent)
	e.check(err)
	again, err := e.write("f", "one", absent)
	e.check(err)
	if again.Version != one.Version || again.WriteID != "w1" {
		e.Errorf("again: %+v, first: %+v", again, one)
	}
	absent.WriteID = "w2"
	_, err = e.write("f", "one", absent)
	e.want("another write", err, fs.Exist)
	next := fs.WriteOptions{Cond: fs.Cond{IfVersion: one.Version}, WriteID: "w3"}
	two, err := e.write("f", "two", next)
	e.check(err)
	again, err = e.write("f", "two", next)
	e.check(err)
	if again.Version != two.Version {
		e.Errorf("again: %+v, first: %+v", again, two)
	}
	e.put("f", "three")
	_, err = e.write("f", "two", next)
	e.want("again after another's write", err, fs.Conflict)
	e.holds("f", "three")
	copied := fs.CopyOptions{Dst: fs.Cond{IfAbsent: true}, WriteID: "w4"}
	first, err := e.b.Copy(e.ctx(), "f", "g", copied)
	e.check(err)
	second, err := e.b.Copy(e.ctx(), "f", "g", copied)
	e.check(err)
	if first.Version != second.Version || second.WriteID != "w4" {
		e.Errorf("copied: %+v, again: %+v", first, second)
	}
}

// race lets several write the same key at once under a condition that only the first can meet.
func (e *env) race(loser fs.Kind, cond func(fs.Version) fs.Cond) {
	if e.b.Caps().CondWrite != fs.Atomic {
		e.Skip("the store does not keep conditions itself")
	}
	const racers = 8
	for round := range e.count(50) {
		key := "f" + strconv.Itoa(round)
		base := fs.Version("")
		if loser == fs.Conflict {
			base = e.put(key, "base").Version
		}
		var winners atomic.Int64
		var winner atomic.Pointer[string]
		var all sync.WaitGroup
		for i := range racers {
			all.Go(func() {
				data := fmt.Sprintf("racer %d", i)
				_, err := write(e.ctx(), e.b, key, data, fs.WriteOptions{Cond: cond(base)})
				switch {
				case err == nil:
					winners.Add(1)
					winner.Store(&data)
				case fs.KindOf(err) != loser && fs.KindOf(err) != fs.Busy:
					e.Errorf("a loser: %v, want %v", err, loser)
				}
			})
		}
		all.Wait()
		if winners.Load() != 1 {
			e.Fatalf("%d winners in round %d", winners.Load(), round)
		}
		e.holds(key, *winner.Load())
	}
}

// counting lets several add one to a number in a file again and again: no increment may be lost.
func counting(e *env) {
	if e.b.Caps().CondWrite != fs.Atomic {
		e.Skip("the store does not keep conditions itself")
	}
	const counters = 4
	each := e.count(100)
	e.put("n", "0")
	var all sync.WaitGroup
	for range counters {
		all.Go(func() {
			for done := 0; done < each; {
				ok, err := increment(e)
				if err != nil {
					e.Error(err)
					return
				}
				if ok {
					done++
				}
			}
		})
	}
	all.Wait()
	e.holds("n", strconv.Itoa(counters*each))
}

func increment(e *env) (done bool, err error) {
	info, err := e.b.Stat(e.ctx(), "n")
	if err != nil {
		return false, err
	}
	text, err := read(e.ctx(), e.b, "n", fs.ReadOptions{IfVersion: info.Version})
	if err == nil {
		n, parseErr := strconv.Atoi(text)
		if parseErr != nil {
			return false, parseErr
		}
		_, err = write(e.ctx(), e.b, "n", strconv.Itoa(n+1), fs.WriteOptions{Cond: fs.Cond{IfVersion: info.Version}})
	}
	if err != nil && (fs.KindOf(err) == fs.Conflict || fs.KindOf(err) == fs.Busy) {
		return false, nil
	}
	return err == nil, err
}
