package backendtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// oracleCases do the same random operations on the store and on the one in memory.
func oracleCases() []testCase {
	var cases []testCase
	for seed := range uint64(4) {
		cases = append(cases, testCase{fmt.Sprintf("oracle/seed %d", seed), func(e *env) {
			for round := range max(e.count(20), 2) {
				e.compareRandom(seed, uint64(round))
			}
		}})
	}
	return cases
}

// steps is how many operations a run has.
const steps = 60

// twin is one of the two stores, with what the run knows of it.
type twin struct {
	b       fs.Backend
	prefix  string                // of all keys
	version map[string]fs.Version // the last one seen of each key
}

// compareRandom does one run, in a directory of its own.
func (e *env) compareRandom(seed, round uint64) {
	r := rand.New(rand.NewPCG(seed, round))
	dir := fmt.Sprintf("run-%d-%d/", seed, round)
	ours := &twin{b: e.b, prefix: dir, version: map[string]fs.Version{}}
	oracle := &twin{b: mem.NewBackend(mem.BackendOptions{}), prefix: dir, version: map[string]fs.Version{}}
	var log []string
	for step := range steps {
		op := randomOp(r, step)
		log = append(log, op.name)
		got, want := op.run(e.ctx(), ours), op.run(e.ctx(), oracle)
		if got != want {
			e.Fatalf("seed %d, round %d: %s\ngives %s\nwant  %s\nafter %s", seed, round, op.name, got, want, strings.Join(log, "\n      "))
		}
	}
	got, want := ours.tree(e.ctx(), ""), oracle.tree(e.ctx(), "")
	if !slices.Equal(got, want) {
		e.Fatalf("seed %d, round %d: the trees differ\n%s\nwant\n%s\nafter %s", seed, round, strings.Join(got, "\n"), strings.Join(want, "\n"), strings.Join(log, "\n      "))
	}
}

// op is an operation; run returns in words what came of it.
type op struct {
	name string
	run  func(ctx context.Context, t *twin) string
}

// The names of a run. Files and directories never share one: what comes of that differs from store to store.
var (
	fileNames = []string{"f", "g.txt", "d/f", "d/h h", "d/e/f", "x/y/z"}
	dirNames  = []string{"d", "d/e", "x", "x/y", "new"}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomOp(r *rand.Rand, step int) op {
	file, other, dir := pick(r, fileNames), pick(r, fileNames), pick(r, dirNames)
	switch r.IntN(12) {
	case 0, 1, 2, 3:
		return randomWrite(r, file, step)
	case 4, 5:
		return randomRead(r, file)
	case 6:
		return randomRemove(r, file)
	case 7:
		return randomCopy(r, file, other, step)
	case 8:
		return op{"mkdir " + dir, func(ctx context.Context, t *twin) string {
			m, ok := fs.As[fs.Mkdirer](t.b)
			if !ok {
				return "ok"
			}
			_, err := m.Mkdir(ctx, t.prefix+dir, fs.Cond{})
			return outcome(err)
		}}
	case 9:
		return op{"rmdir " + dir, func(ctx context.Context, t *twin) string {
			return outcome(t.b.Remove(ctx, t.prefix+dir, fs.RemoveOptions{Dir: true}))
		}}
	case 10:
		return op{"list " + dir, func(ctx context.Context, t *twin) string {
			infos, hidden, err := list(ctx, t.b, t.prefix+dir, fs.ListOptions{Max: 1 + len(dir)%3})
			return fmt.Sprint(sortedNames(t.prefix+dir, infos), hidden, outcome(err))
		}}
	default:
		return op{"stat " + file + " " + dir, func(ctx context.Context, t *twin) string {
			a, errA := t.b.Stat(ctx, t.prefix+file)
			b, errB := t.b.Stat(ctx, t.prefix+dir)
			return t.told(a) + outcome(errA) + ", " + t.told(b) + outcome(errB)
		}}
	}
}

// condition chooses one: none, absent, the version last seen, or a stale one.
func condition(choice int, t *twin, file string) fs.Cond {
	switch choice {
	case 0:
		return fs.Cond{IfAbsent: true}
	case 1:
		return fs.Cond{IfVersion: stale}
	case 2, 3:
		return fs.Cond{IfVersion: t.version[file]} // "" = none
	}
	return fs.Cond{}
}

func randomWrite(r *rand.Rand, file string, step int) op {
	choice, size := r.IntN(6), pick(r, []int{0, 1, 100, 5000})
	o := fs.WriteOptions{MIME: "text/plain", ModTime: time.Unix(int64(1_600_000_000+step), 0)}
	if r.IntN(2) == 0 {
		o.Mode, o.HasMode = uint32(r.IntN(0o1000)), true
	}
	if r.IntN(3) == 0 {
		o.Meta = map[string]string{"step": fmt.Sprint(step)}
	}
	if r.IntN(2) == 0 {
		o.WriteID = fmt.Sprintf("w%d", r.IntN(step/4+1)) // now and then the same as before
	}
	data := fmt.Sprintf("%d:%s", step, pattern(size))
	name := fmt.Sprintf("write %s cond %d id %q %d bytes", file, choice, o.WriteID, len(data))
	return op{name, func(ctx context.Context, t *twin) string {
		o.Cond = condition(choice, t, file)
		info, err := write(ctx, t.b, t.prefix+file, data, o)
		if err == nil {
			t.version[file] = info.Version
		}
		return t.told(info) + outcome(err)
	}}
}

func randomRead(r *rand.Rand, file string) op {
	off, n, pinned := int64(r.IntN(200)), int64(r.IntN(200)), r.IntN(2) == 0
	return op{fmt.Sprintf("read %s %d+%d pinned %v", file, off, n, pinned), func(ctx context.Context, t *twin) string {
		o := fs.ReadOptions{Off: off, Len: n}
		if pinned {
			o.IfVersion = t.version[file]
		}
		data, err := read(ctx, t.b, t.prefix+file, o)
		return data + outcome(err)
	}}
}

func randomRemove(r *rand.Rand, file string) op {
	choice := 1 + r.IntN(5)
	return op{fmt.Sprintf("remove %s cond %d", file, choice), func(ctx context.Context, t *twin) string {
		err := t.b.Remove(ctx, t.prefix+file, fs.RemoveOptions{Cond: condition(choice, t, file)})
		if err != nil && fs.KindOf(err) == fs.NotExist {
			return " ok"
		}
		return outcome(err)
	}}
}

func randomCopy(r *rand.Rand, src, dst string, step int) op {
	if src == dst {
		return randomRead(r, src)
	}
	choice, patch := r.IntN(6), r.IntN(2) == 0
	return op{fmt.Sprintf("copy %s to %s cond %d patch %v", src, dst, choice, patch), func(ctx context.Context, t *twin) string {
		o := fs.CopyOptions{Dst: condition(choice, t, dst)}
		if patch {
			mode := uint32(step)
			o.Meta, o.WriteID = &fs.MetaPatch{Mode: &mode}, fmt.Sprintf("c%d", step)
		}
		info, err := t.b.Copy(ctx, t.prefix+src, t.prefix+dst, o)
		if err == nil {
			t.version[dst] = info.Version
		}
		return t.told(info) + outcome(err)
	}}
}

// told is what an Info says and both stores must say alike.
func (t *twin) told(i fs.Info) string {
	s := fmt.Sprintf("%d %q %d bytes", i.Type, strings.TrimPrefix(i.Key, t.prefix), i.Size)
	if i.Type != fs.File {
		return s
	}
	meta := i.Meta
	if meta == nil {
		meta = map[string]string{}
	}
	return s + fmt.Sprintf(" %d %q mode %o %v id %q %v", i.ModTime.Unix(), i.MIME, i.Mode, i.HasMode, i.WriteID, meta)
}

// outcome is the kind of an error. Whether a version that is gone is told from one that is another is up to the store.
func outcome(err error) string {
	switch {
	case err == nil:
		return " ok"
	case fs.KindOf(err) == fs.NotExist:
		return " " + fs.Conflict.String()
	}
	return " " + fs.KindOf(err).String()
}

// tree is all there is below dir, with contents.
func (t *twin) tree(ctx context.Context, dir string) (lines []string) {
	infos, _, err := list(ctx, t.b, strings.TrimSuffix(t.prefix+dir, "/"), fs.ListOptions{})
	if err != nil {
		return []string{dir + outcome(err)}
	}
	for _, i := range infos {
		name := strings.TrimPrefix(i.Key, t.prefix)
		if i.Type == fs.Directory {
			lines = append(append(lines, name+"/"), t.tree(ctx, name+"/")...)
			continue
		}
		data, err := read(ctx, t.b, i.Key, fs.ReadOptions{IfVersion: i.Version})
		full, statErr := t.b.Stat(ctx, i.Key)
		lines = append(lines, fmt.Sprintf("%s %d %q%s%s", t.told(full), i.Size, data, outcome(err), outcome(statErr)))
	}
	slices.Sort(lines)
	return lines
}
