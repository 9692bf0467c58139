package crdt_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// hostile are updates of about the given size that are as bad as their kind can be: of the smallest structs, or such that
// a careless engine walks or moves all that is there for each of them.
var hostile = map[string]func(size int) []byte{
	"collected":    func(size int) []byte { return repeated(size, []byte{0, 1}) },
	"gaps":         func(size int) []byte { return repeated(size, []byte{10, 1}) },
	"gaps between": func(size int) []byte { return repeated(size, []byte{0, 1, 10, 1}) },
	"deleted":      func(size int) []byte { return repeated(size, []byte{0x81, 1, 0, 1}) },
	"text":         func(size int) []byte { return repeated(size, []byte{0x84, 1, 0, 1, 'x'}) },
	"shared types": func(size int) []byte { return repeated(size, []byte{0x87, 1, 0, 0}) },
	"values":       func(size int) []byte { return repeated(size, []byte{0x88, 1, 0, 1, 126}) },
	"typed text":   func(size int) []byte { return typed(size, 0x84, 1, 'x') },
	"typed values": func(size int) []byte { return typed(size, 0x88, 1, 126) },
	"formats":      func(size int) []byte { return repeated(size, []byte{0x86, 1, 0, 1, 'b', 1, '1'}) },
	"values of one key": func(size int) []byte {
		return repeated(size, []byte{0x28, 1, 1, 'm', 1, 'k', 1, 126})
	},
	"keys": func(size int) []byte {
		return sections(size, func(b []byte, i int) []byte {
			return append(named(append(b, 0x28, 1, 1, 'm'), i), 1, 126)
		})
	},
	"subdocuments that go at once": func(size int) []byte {
		return repeated(size, []byte{0x29, 1, 1, 'm', 1, 'k', 1, 'g', 118, 0})
	},
	"keys of an object, descending": func(size int) []byte {
		n := size / 8
		b := binary.AppendUvarint([]byte{1, 1, 1, 0, 8, 1, 1, 'a', 1, 118}, uint64(n))
		for i := n; i > 0; i-- {
			key := strconv.Itoa(100_000 + i)
			b = append(append(binary.AppendUvarint(b, uint64(len(key))), key...), 126)
		}
		return append(b, 0)
	},
	"attributes": func(size int) []byte {
		return sections(size, func(b []byte, i int) []byte {
			if i == 0 {
				return append(b, 4, 1, 1, 't', 1, 'x')
			}
			return append(named(append(b, 0x46, 1, 0), i), 1, '1')
		})
	},
	"one client for each struct": func(size int) []byte {
		n := size / 9
		b := binary.AppendUvarint(nil, uint64(n))
		for i := n; i > 0; i-- {
			b = binary.AppendUvarint(append(b, 1), uint64(i))
			b = append(b, 0, 4, 1, 1, 't', 1, 'x')
		}
		return append(b, 0)
	},
	"one client waits for each": func(size int) []byte {
		n := size / 8
		b := binary.AppendUvarint(nil, uint64(n))
		for i := n; i > 0; i-- {
			b = binary.AppendUvarint(append(b, 1), uint64(i))
			b = append(b, 5, 4, 1, 1, 't', 1, 'x')
		}
		return append(b, 0)
	},
	"deletions from right to left":  func(size int) []byte { return deletions(size, "x", true) },
	"deletions from left to right":  func(size int) []byte { return deletions(size, "x", false) },
	"deletions in long characters":  func(size int) []byte { return deletions(size, "\U0001F600", true) },
	"deletions in short characters": func(size int) []byte { return deletions(size, "é", true) },
	"deletions of many clients' text": func(size int) []byte {
		return shortDeletions(size, append([]byte{4, 1, 1, 't', 127}, strings.Repeat("x", 127)...))
	},
	"deletions of many clients' values": func(size int) []byte {
		return shortDeletions(size, append([]byte{8, 1, 1, 't', 127}, bytes.Repeat([]byte{126}, 127)...))
	},
	"deletions of what is not there": func(size int) []byte { return shortDeletions(size, []byte{10, 127}) },
	"deletions for many clients": func(size int) []byte {
		n := size / 6
		b := binary.AppendUvarint([]byte{0}, uint64(n))
		for i := n; i > 0; i-- {
			b = append(binary.AppendUvarint(b, uint64(i)), 1, 0, 1)
		}
		return b
	},
	"deletions behind conflicts": func(size int) []byte { return heads(size/100, size/5) },
	"cuts from right to left":    func(size int) []byte { return cuts(size, "x") },
	"cuts inside pairs":          func(size int) []byte { return cuts(size, "\U0001F600") },
	"many clients at one place": func(size int) []byte {
		n := size / 20
		b := binary.AppendUvarint(nil, uint64(n))
		for i := n; i > 1; i-- {
			// Right of the text's first character, and not left of what client i-1 has in another text: so they come in ascending order.
			b = append(binary.AppendUvarint(append(b, 2), uint64(i)), 0, 0xc4, 1, 0)
			b = append(binary.AppendUvarint(b, uint64(i-1)), 1, 1, 'y', 4, 1, 1, 'u', 1, 'z')
		}
		return append(b, 2, 1, 0, 4, 1, 1, 't', 1, 'x', 4, 1, 1, 'u', 1, 'z', 0)
	},
	"many clients at one key": func(size int) []byte {
		n := size / 20
		b := binary.AppendUvarint(nil, uint64(n))
		for i := n; i > 1; i-- {
			b = append(binary.AppendUvarint(append(b, 2), uint64(i)), 0, 0xe8, 1, 0)
			b = append(binary.AppendUvarint(b, uint64(i-1)), 1, 1, 126, 4, 1, 1, 'u', 1, 'z')
		}
		return append(b, 2, 1, 0, 0x28, 1, 1, 'm', 1, 'k', 1, 126, 4, 1, 1, 'u', 1, 'z', 0)
	},
	"a list that two clients grow at its head": func(size int) []byte { return heads(size/14, 1) },
	"places inside those of others":            func(size int) []byte { return nested(size, false) },
	"places within places of others":           func(size int) []byte { return nested(size, true) },
	"types in types": func(size int) []byte {
		return sections(size, func(b []byte, i int) []byte {
			if i == 0 {
				return append(b, 7, 1, 1, 'a', 0)
			}
			return append(binary.AppendUvarint(append(b, 7, 0, 1), uint64(i-1)), 0)
		})
	},
	"deleted text of a formatted one": func(size int) []byte {
		n := size / 12
		b := binary.AppendUvarint([]byte{1}, uint64(n))
		b = append(b, 1, 0, 6, 1, 1, 't', 1, 'b', 1, '1')
		for i := 1; i < n; i++ {
			b = append(binary.AppendUvarint(append(b, 0x84, 1), uint64(i-1)), 1, 'x')
		}
		b = binary.AppendUvarint(append(b, 1, 1), uint64(n/2))
		for i := range n / 2 {
			b = append(binary.AppendUvarint(b, uint64(2*i+1)), 1)
		}
		return b
	},
}

// repeated is an update of one client with one struct over and over, behind a text.
func repeated(size int, piece []byte) []byte {
	return sections(size, func(b []byte, i int) []byte {
		if i == 0 {
			return append(b, 4, 1, 1, 't', 1, 'x')
		}
		return append(b, piece...)
	})
}

// typed is an update of structs that become one in the end.
func typed(size int, info byte, content ...byte) []byte {
	return sections(size, func(b []byte, i int) []byte {
		if i == 0 {
			return append(append(b, info&0x7f, 1, 1, 't'), content...)
		}
		return append(binary.AppendUvarint(append(b, info, 1), uint64(i-1)), content...)
	})
}

// sections is an update of client 1 with as many structs as there is room for.
func sections(size int, add func(b []byte, i int) []byte) []byte {
	var b []byte
	n := 0
	for ; len(b) < size; n++ {
		b = add(b, n)
	}
	head := append(binary.AppendUvarint([]byte{1}, uint64(n)), 1, 0)
	return append(append(head, b...), 0)
}

// named appends a key that no other number gives.
func named(b []byte, i int) []byte {
	key := strconv.FormatInt(int64(i), 36)
	return append(binary.AppendUvarint(b, uint64(len(key))), key...)
}

// deletions deletes every other unit of a text, each in a range of its own, or with client 1 named again for each range if
// they come in an order that is refused in one.
func deletions(size int, char string, backwards bool) []byte {
	n := size / (8 + len(char))
	text := strings.Repeat(char, n)
	b := append(binary.AppendUvarint([]byte{1, 1, 1, 0, 4, 1, 1, 't'}, uint64(len(text))), text...)
	b = binary.AppendUvarint(append(b, 1, 1), uint64(n/2))
	for i := range n / 2 {
		if backwards {
			i = n/2 - 1 - i
		}
		b = append(binary.AppendUvarint(b, uint64(2*i+1)), 1)
	}
	return b
}

// shortDeletions deletes every other unit of what many clients have in a struct of 127 units: an item for two bytes. One more
// client makes the text a formatted one.
func shortDeletions(size int, content []byte) []byte {
	n := size/(len(content)+136) + 1
	b := binary.AppendUvarint(nil, uint64(n+1))
	b = append(binary.AppendUvarint(append(b, 1), uint64(n+1)), 0, 6, 1, 1, 't', 1, 'b', 1, '1')
	for i := n; i > 0; i-- {
		b = append(append(binary.AppendUvarint(append(b, 1), uint64(i)), 0), content...)
	}
	b = binary.AppendUvarint(b, uint64(n))
	for i := n; i > 0; i-- {
		b = append(binary.AppendUvarint(b, uint64(i)), 63)
		for clock := byte(1); clock < 126; clock += 2 {
			b = append(b, clock, 1)
		}
	}
	return b
}

// heads puts n values of each of two clients at the head of a list, and one of them more behind those of client 1, of which
// every other is deleted.
func heads(n, more int) []byte {
	head := func(b []byte, client byte, clock int) []byte {
		b = append(b, 8, 1, 1, 'a', 1, 126)
		for i := range n - 1 {
			b = append(binary.AppendUvarint(append(b, 0x48, client), uint64(clock+i)), 1, 126)
		}
		return b
	}
	b := append(binary.AppendUvarint([]byte{2}, uint64(n+1)), 2, 0)
	b = append(binary.AppendUvarint(append(b, 0x84, 1), uint64(n+more)), 1, 'y') // comes after all of client 1
	b = append(binary.AppendUvarint(head(b, 2, 1), uint64(n+2)), 1, 0)
	b = binary.AppendUvarint(append(head(b, 1, 0), 0x88, 1, 0), uint64(more))
	b = append(append(b, bytes.Repeat([]byte{126}, more)...), 4, 1, 1, 't', 1, 'x')
	b = binary.AppendUvarint(append(b, 1, 1), uint64((more+1)/2))
	for i := 0; i < more; i += 2 {
		b = append(binary.AppendUvarint(b, uint64(n+i)), 1)
	}
	return b
}

// cuts inserts a character at every second place of another client's text, from right to left.
func cuts(size int, char string) []byte {
	n := size / (16 + len(char))
	text := strings.Repeat(char, n)
	b := binary.AppendUvarint([]byte{2}, uint64(n/2))
	b = append(b, 2, 0)
	for i := n/2 - 1; i >= 0; i-- {
		b = append(binary.AppendUvarint(append(b, 0x84, 1), uint64(2*i)), 1, 'y')
	}
	b = append(binary.AppendUvarint(append(b, 1, 1, 0, 4, 1, 1, 't'), uint64(len(text))), text...)
	return append(b, 0)
}

// nested puts items of many clients into a list in which greater clients have put theirs between what client 1 has, or each
// into that of the one before. The clients come in descending order, and each looks at all of that.
func nested(size int, within bool) []byte {
	const great = 1 << 20
	n := size / 32
	at := func(b []byte, client, clock int) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(append(b, 0x48), uint64(client)), uint64(clock))
	}
	begin := func(b []byte, structs, client int) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(b, uint64(structs)), uint64(client)), 0)
	}
	if !within {
		b := begin(binary.AppendUvarint(nil, uint64(n+1)), n-1, great)
		for i := range n - 1 {
			b = append(at(b, 1, i+1), 1, 126)
		}
		for i := n; i > 1; i-- {
			b = append(begin(b, 1, i), 8, 1, 1, 'a', 1, 126)
		}
		b = append(begin(b, 1, 1), 8, 1, 1, 'a')
		b = binary.AppendUvarint(b, uint64(n))
		return append(append(b, bytes.Repeat([]byte{126}, n)...), 0)
	}
	b := binary.AppendUvarint(nil, uint64(2*n))
	for i := n; i > 0; i-- {
		outer := great + i - 1
		if i == 1 {
			outer = 1
		}
		b = append(at(begin(b, 1, great+i), outer, 1), 2, 126, 126)
	}
	for i := n; i > 1; i-- {
		b = append(at(begin(b, 1, i), great+i, 1), 1, 126)
	}
	return append(begin(b, 1, 1), 8, 1, 1, 'a', 2, 126, 126, 0)
}

// applyHostile applies an update to a document that is watched as rooms watch theirs.
func applyHostile(d *crdt.Doc, update []byte) error {
	d.Array("a").ObserveDeep(func([]*crdt.Event, *crdt.Tx) {})
	d.Map("m").ObserveDeep(func([]*crdt.Event, *crdt.Tx) {})
	d.Text("t").ObserveDeep(func([]*crdt.Event, *crdt.Tx) {})
	d.OnUpdate(func([]byte, *crdt.Tx) {})
	return d.ApplyUpdate(update, "peer")
}

// Environment of the test binary when it runs as a child of itself.
const (
	childKind = "JUPYTER_DRIVE_TEST_HOSTILE"
	childSize = "JUPYTER_DRIVE_TEST_HOSTILE_SIZE"
)

// TestHostileChild applies one hostile update in a process of its own.
func TestHostileChild(t *testing.T) {
	kind := os.Getenv(childKind)
	if kind == "" {
		t.Skip("runs as a child of TestHostileMemory and TestWorkIsLinear")
	}
	size, err := strconv.Atoi(os.Getenv(childSize))
	if err != nil {
		t.Fatal(err)
	}
	update := hostile[kind](size)
	// Collecting soon makes what is in use at the most nearly what is needed.
	debug.SetGCPercent(10)
	debug.SetMemoryLimit(int64(memoryLimit(len(update))))
	d := crdt.New(crdt.Options{})
	if err := applyHostile(d, update); err != nil {
		t.Fatal(err)
	}
	must(crdt.Check(d))
	if n := crdt.Work(d); n > 128*uint64(len(update)) {
		t.Errorf("%d bytes of input move structs or come by them %d times", len(update), n)
	}
	_ = d.EncodeStateAsUpdate(nil)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("input %d system %d\n", len(update), m.Sys)
}

// memoryLimit is how much memory an update of the given size may take.
func memoryLimit(size int) int { return 32<<20 + 64*size }

// TestItemSize holds items to the size that the promised memory needs.
func TestItemSize(t *testing.T) {
	if crdt.ItemSize > 64 {
		t.Errorf("an item takes %d bytes, want at most 64", crdt.ItemSize)
	}
}

// TestHostileMemory applies some megabytes of each kind in a child and looks at all memory that it took from the system. What a
// child can get is limited to what is promised, and some for the program itself.
func TestHostileMemory(t *testing.T) {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") == "" {
		t.Skip("runs with JUPYTER_DRIVE_TEST_FULL=1: make conformance")
	}
	t.Parallel()
	for kind := range hostile {
		for _, megabytes := range []int{1, 3, 4, 8} {
			t.Run(fmt.Sprint(kind, " ", megabytes), func(t *testing.T) { checkMemory(t, kind, megabytes<<20) })
		}
	}
}

func checkMemory(t *testing.T, kind string, size int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestHostileChild$")
	cmd.Env = append(os.Environ(), childKind+"="+kind, childSize+"="+strconv.Itoa(size))
	// A Go program reserves about a gigabyte of addresses; beyond them there is little more to be had than is promised.
	script := fmt.Sprintf(`ulimit -v %d; exec "$0" "$@"`, 1_400_000+memoryLimit(size)>>10)
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", script}, cmd.Args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var input, system int
	if _, err := fmt.Sscanf(string(out), "input %d system %d", &input, &system); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	limit := memoryLimit(input)
	t.Logf("%d bytes of input took %d%% of the memory that they may", input, 100*system/limit)
	if system > limit {
		t.Errorf("%d bytes of input took %d bytes of memory, want at most %d", input, system, limit)
	}
}

// TestAnnouncedLengths checks that nothing is allocated for what is only announced.
func TestAnnouncedLengths(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}
	for name, update := range map[string][]byte{
		"clients": huge,
		"structs": append([]byte{1}, huge...),
		"text":    append([]byte{1, 1, 1, 0, 4, 1, 1, 't'}, huge...),
		"values":  append([]byte{1, 1, 1, 0, 8, 1, 1, 't'}, huge...),
		"list":    append([]byte{1, 1, 1, 0, 8, 1, 1, 't', 1, 117}, huge...),
		"ranges":  append([]byte{0, 1, 1}, huge...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := crdt.New(crdt.Options{}).ApplyUpdate(update, "")
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > 1<<20 {
			t.Errorf("%s: ApplyUpdate(%x) = %v with %d bytes, want an error and little memory", name, update, err, used)
		}
	}
}

// conflicts are the kinds for which yjs does much more work than it gets bytes.
var conflicts = []string{
	"cuts from right to left", "cuts inside pairs", "many clients at one place", "many clients at one key",
	"a list that two clients grow at its head", "places inside those of others", "places within places of others",
}

// TestConflictsAsInYjs counts the items that are come by in search of a place: without an index exactly as many as in yjs, with
// one few, to the same end.
func TestConflictsAsInYjs(t *testing.T) {
	t.Parallel()
	modules, dir := nodeModules(t), t.TempDir()
	source, err := os.ReadFile(filepath.Join(modules, "yjs", "dist", "yjs.mjs"))
	must(err)
	const walks = "itemsBeforeOrigin.add(o);"
	counting := strings.Replace(string(source), walks, "globalThis.scanned++; "+walks, 1)
	if counting == string(source) {
		t.Fatal("yjs.mjs does not walk over conflicts as it did")
	}
	must(os.WriteFile(filepath.Join(dir, "yjs.mjs"), []byte(counting), 0o600))
	must(os.Symlink(modules, filepath.Join(dir, "node_modules")))
	for _, kind := range conflicts {
		for _, size := range []int{1 << 12, 1 << 14} {
			t.Run(fmt.Sprint(kind, " ", size), func(t *testing.T) {
				t.Parallel()
				update := hostile[kind](size)
				d, indexed := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
				crdt.SetLongScan(d, math.MaxInt)
				must(applyHostile(d, update))
				must(applyHostile(indexed, update))
				if got, want := crdt.Lists(indexed), crdt.Lists(d); got != want {
					t.Error("another order with an index than without")
				}
				cmd := exec.Command("node", filepath.Join("testdata", "scanned.mjs"), dir)
				cmd.Stdin, cmd.Stderr = bytes.NewReader(update), os.Stderr
				out, err := cmd.Output()
				must(err)
				theirs, err := strconv.ParseUint(string(out), 10, 64)
				must(err)
				if ours := crdt.Scanned(d); ours != theirs || ours < uint64(len(update)) {
					t.Errorf("came by %d items, yjs by %d", ours, theirs)
				}
				t.Logf("%d bytes, %d items come by, with an index %d", len(update), theirs, crdt.Scanned(indexed))
			})
		}
	}
}

// TestWorkIsLinear counts the statements that a child executes for an input, and for one of four times the size: no more than
// six times as many. It needs the full counts, as it builds the package anew with counters in it.
func TestWorkIsLinear(t *testing.T) {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") == "" {
		t.Skip("runs with JUPYTER_DRIVE_TEST_FULL=1: make conformance")
	}
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "crdt.test")
	build := exec.Command("go", "test", "-c", "-covermode=count", "-coverpkg=.", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for kind := range hostile {
		t.Run(kind, func(t *testing.T) {
			small, large := statements(t, binary, kind, 1<<15), statements(t, binary, kind, 1<<17)
			ratio := float64(large) / float64(small)
			t.Logf("%d and %d statements, ratio %.2f", small, large, ratio)
			if ratio > 6 {
				t.Errorf("four times the input takes %.2f times the work", ratio)
			}
		})
	}
}

// statements counts what a child with counters executes for one input.
func statements(t *testing.T, binary, kind string, size int) (n int) {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile")
	cmd := exec.Command(binary, "-test.run", "^TestHostileChild$", "-test.coverprofile", profile)
	cmd.Env = append(os.Environ(), childKind+"="+kind, childSize+"="+strconv.Itoa(size))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		statements, err := strconv.Atoi(fields[1])
		must(err)
		count, err := strconv.Atoi(fields[2])
		must(err)
		n += statements * count
	}
	return n
}
