package crdt_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

// oracle is one Node process that runs programs on yjs. It is used by one goroutine.
type oracle struct {
	in  io.Writer
	out *bufio.Reader
}

// startEngine starts a process that holds documents of another engine. It ends with the test, and must end well.
func startEngine(t testing.TB, name string, arg ...string) (in io.Writer, out io.Reader) {
	t.Helper()
	cmd := exec.Command(name, arg...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", cmd, err)
		}
	})
	return stdin, stdout
}

// nodeModules finds the Node packages, or skips the test.
func nodeModules(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("JUPYTER_DRIVE_TEST_NODE_MODULES")
	if dir == "" {
		dir = filepath.Join("..", "..", "integration", "node", "node_modules")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "yjs", "package.json")); err != nil {
		t.Skip("yjs is not installed: run npm ci in integration/node or set JUPYTER_DRIVE_TEST_NODE_MODULES")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	return dir
}

func startOracle(t testing.TB) *oracle {
	t.Helper()
	in, out := startEngine(t, "node", "--max-semi-space-size=64", filepath.Join("testdata", "oracle.mjs"), nodeModules(t))
	return &oracle{in, bufio.NewReaderSize(out, 1<<16)}
}

// ask sends programs, as JSON with commas between them.
func (o *oracle) ask(full bool, programs []byte) error {
	b := append(fmt.Appendf(nil, `{"full":%t,"programs":[`, full), programs...)
	return o.send(append(b, "]}"...))
}

func (o *oracle) send(message []byte) error {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(message)))
	_, err := o.in.Write(append(b, message...))
	return err
}

// answer receives the answer to what was asked first.
func (o *oracle) answer() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(o.out, head[:]); err != nil {
		return nil, err
	}
	payload := make([]byte, binary.LittleEndian.Uint32(head[:]))
	_, err := io.ReadFull(o.out, payload)
	return payload, err
}

// sums receives the hashes of n results.
func (o *oracle) sums(n int) ([][md5.Size]byte, error) {
	payload, err := o.answer()
	if err == nil && len(payload) != n*md5.Size {
		err = fmt.Errorf("oracle answered with %d bytes for %d programs", len(payload), n)
	}
	if err != nil {
		return nil, err
	}
	sums := make([][md5.Size]byte, n)
	for i := range sums {
		copy(sums[i][:], payload[i*md5.Size:])
	}
	return sums, nil
}

// theirs is a whole result of the oracle.
type theirs struct {
	Error string
	Parts []struct {
		Name  string
		Bytes string
		JSON  json.RawMessage
	}
}

// whole runs a program on yjs and receives all that it left.
func (o *oracle) whole(program []step) (*theirs, error) {
	if err := o.ask(true, programJSON(nil, program)); err != nil {
		return nil, err
	}
	payload, err := o.answer()
	if err != nil {
		return nil, err
	}
	var all []theirs
	if err := json.Unmarshal(payload, &all); err != nil {
		return nil, err
	}
	return &all[0], nil
}

// compare runs a program on yjs again and tells in what our result differs, "" if in nothing.
func (o *oracle) compare(m *machine) (string, error) {
	want, err := o.whole(m.program)
	if err != nil {
		return "", err
	}
	var got []part
	m.result(func(p part) { got = append(got, p) })
	return difference(got, want), nil
}

func difference(got []part, want *theirs) string {
	if want.Error != "" {
		return "yjs failed: " + want.Error
	}
	counts := map[string]int{}
	for i := range min(len(got), len(want.Parts)) {
		g, w := got[i], want.Parts[i]
		n := counts[g.name]
		counts[g.name]++
		if g.name != w.Name {
			return fmt.Sprintf("part %d is %s, want %s", i, g.name, w.Name)
		}
		if g.json {
			if !sameJSON(g.data, w.JSON) {
				return fmt.Sprintf("%s %d\n got %s\nwant %s", g.name, n, g.data, w.JSON)
			}
			continue
		}
		b, err := base64.StdEncoding.DecodeString(w.Bytes)
		if err != nil || !bytes.Equal(g.data, b) {
			return fmt.Sprintf("%s %d\n got %x\nwant %x", g.name, n, g.data, b)
		}
	}
	if len(got) != len(want.Parts) {
		return fmt.Sprintf("%d parts, want %d", len(got), len(want.Parts))
	}
	return ""
}

// sameJSON compares what JavaScript treats as equal: the order of an object's keys does not matter.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
