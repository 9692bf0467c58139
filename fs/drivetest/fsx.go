package drivetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// The defaults of FSXOptions.
const (
	DefaultFSXOps  = 5000
	DefaultFSXSize = 256 << 10
)

// The modes of fallocate(2).
const (
	fallocKeepSize = 0x01
	fallocPunch    = 0x02
	fallocZero     = 0x10
)

// maxShrinks is how often a failing sequence is run again at most to find a shorter one.
const maxShrinks = 2000

// File is one file as FSX works on it.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
	Reopen() error // closes the file and opens it again
	Close() error
}

// Appender is a File that can be written at its end by a descriptor of its own.
type Appender interface {
	Append(p []byte) (int, error)
}

// Allocater is a File with fallocate(2). Modes that fail with [errors.ErrUnsupported] are left out.
type Allocater interface {
	Allocate(off, size int64, mode uint32) error
}

// Mapper is a File that can be mapped into memory. The range lies inside the file.
type Mapper interface {
	ReadMapped(p []byte, off int64) error
	WriteMapped(p []byte, off int64) error
}

// FSXOptions configure FSX. The zero value works.
type FSXOptions struct {
	Ops  int    // 0 = DefaultFSXOps
	Size int64  // how large the file grows; 0 = DefaultFSXSize
	Seed uint64 // 0 = another one each time
}

// FSX runs a random sequence of operations on a file that open makes, empty, and on a model of it. When they differ it looks for
// a short sequence that shows it, with a new file for each try, and reports that with the seed.
func FSX(t *testing.T, open func(t *testing.T) (File, error), o FSXOptions) {
	t.Helper()
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Ops == 0 {
		o.Ops = DefaultFSXOps
	}
	if o.Size == 0 {
		o.Size = DefaultFSXSize
	}
	if f := exercise(func() (File, error) { return open(t) }, o); f != nil {
		t.Errorf("seed %d: %v\nafter these operations:\n%s", o.Seed, f.err, f)
	}
}

// failure is a sequence of operations whose last one went wrong.
type failure struct {
	steps []step
	err   error
}

func (f *failure) String() string {
	var b strings.Builder
	for i, s := range f.steps {
		fmt.Fprintf(&b, "%4d %s\n", i+1, s)
	}
	return b.String()
}

// exercise returns the shortest failing sequence it can find, or nil if all goes well.
func exercise(open func() (File, error), o FSXOptions) *failure {
	f := replay(open, generate(o))
	if f == nil {
		return nil
	}
	return shrink(open, f)
}

// stepKind is what a step does.
type stepKind uint8

const (
	stepRead stepKind = iota
	stepWrite
	stepAppend
	stepTruncate
	stepPunch
	stepZero
	stepZeroKeep
	stepReadMapped
	stepWriteMapped
	stepReopen
	stepSync
	stepKinds
)

func (k stepKind) String() string {
	return [...]string{"read", "write", "append", "truncate", "punch hole", "zero range", "zero range, keep size", "read mapped",
		"write mapped", "close and open", "fsync", "?"}[k]
}

// step is one operation. Its range is cut to the file's size where that matters, so that a step makes sense in any sequence.
type step struct {
	kind stepKind
	off  int64
	size int64
	fill byte
}

func (s step) String() string {
	switch s.kind {
	case stepReopen, stepSync:
		return s.kind.String()
	case stepTruncate:
		return fmt.Sprintf("truncate to %d", s.off)
	}
	return fmt.Sprintf("%s %d bytes at %d (fill %d)", s.kind, s.size, s.off, s.fill)
}

// data is what a step writes: bytes that tell where they belong.
func (s step) data() []byte {
	p := make([]byte, s.size)
	for i := range p {
		p[i] = s.fill ^ byte((s.off+int64(i))*131>>3)
	}
	return p
}

func generate(o FSXOptions) []step {
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	steps := make([]step, o.Ops)
	for i := range steps {
		s := step{kind: stepKind(rng.IntN(int(stepKinds))), off: rng.Int64N(o.Size), fill: byte(rng.IntN(255) + 1)}
		s.size = 1 + rng.Int64N(min(o.Size-s.off, 64<<10))
		if rng.IntN(4) == 0 { // edges of pages are where mistakes are
			s.off = s.off / 4096 * 4096
		}
		if s.kind == stepAppend {
			s.size = min(s.size, 512)
		}
		steps[i] = s
	}
	return steps
}

// replay runs steps on a new file. It returns the steps up to the one that failed, or nil.
func replay(open func() (File, error), steps []step) *failure {
	f, err := open()
	if err != nil {
		return &failure{nil, fmt.Errorf("open: %w", err)}
	}
	r := run{f: f}
	for i, s := range steps {
		if err = r.do(s); err == nil && i%50 == 49 {
			err = r.compare()
		}
		if err != nil {
			_ = f.Close() // the failure before is the one that matters
			return &failure{steps[:i+1], fmt.Errorf("%s: %w", s, err)}
		}
	}
	if err := errors.Join(r.compare(), f.Close()); err != nil {
		return &failure{steps, err}
	}
	return nil
}

// run is a file and what it should hold.
type run struct {
	f     File
	model []byte
}

func (r *run) do(s step) error {
	switch s.kind {
	case stepRead:
		return r.read(s)
	case stepWrite:
		_, err := r.f.WriteAt(s.data(), s.off)
		r.put(s.data(), s.off)
		return err
	case stepAppend:
		return r.append(s)
	case stepTruncate:
		r.resize(s.off)
		return r.f.Truncate(s.off)
	case stepPunch:
		return r.allocate(s, fallocPunch|fallocKeepSize)
	case stepZero:
		return r.allocate(s, fallocZero)
	case stepZeroKeep:
		return r.allocate(s, fallocZero|fallocKeepSize)
	case stepReadMapped, stepWriteMapped:
		return r.mapped(s)
	case stepReopen:
		return r.f.Reopen()
	}
	return r.f.Sync()
}

// resize sets the model's size.
func (r *run) resize(size int64) {
	if size <= int64(len(r.model)) {
		r.model = r.model[:size]
		return
	}
	r.model = append(r.model, make([]byte, size-int64(len(r.model)))...)
}

func (r *run) put(p []byte, off int64) {
	if end := off + int64(len(p)); end > int64(len(r.model)) {
		r.resize(end)
	}
	copy(r.model[off:], p)
}

// inside cuts a step's range to the file.
func (r *run) inside(s step) (off, size int64) {
	off = min(s.off, int64(len(r.model)))
	return off, min(s.size, int64(len(r.model))-off)
}

func (r *run) read(s step) error {
	p := make([]byte, s.size)
	n, err := r.f.ReadAt(p, s.off)
	off, size := r.inside(s)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case int64(n) != size:
		return fmt.Errorf("%d bytes, want %d", n, size)
	case err == nil && size < s.size:
		return errors.New("a short read without io.EOF")
	}
	return differ(p[:n], r.model[off:off+size], off)
}

func (r *run) append(s step) error {
	a, ok := r.f.(Appender)
	if !ok {
		return nil
	}
	_, err := a.Append(s.data())
	r.put(s.data(), int64(len(r.model)))
	return err
}

func (r *run) allocate(s step, mode uint32) error {
	a, ok := r.f.(Allocater)
	if !ok {
		return nil
	}
	err := a.Allocate(s.off, s.size, mode)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if mode&fallocKeepSize == 0 && s.off+s.size > int64(len(r.model)) {
		r.resize(s.off + s.size)
	}
	off, size := r.inside(s)
	clear(r.model[off : off+size])
	return err
}

func (r *run) mapped(s step) error {
	m, ok := r.f.(Mapper)
	off, size := r.inside(s)
	if !ok || size == 0 {
		return nil
	}
	if s.kind == stepWriteMapped {
		p := s.data()[:size]
		r.put(p, off)
		return m.WriteMapped(p, off)
	}
	p := make([]byte, size)
	if err := m.ReadMapped(p, off); err != nil {
		return err
	}
	return differ(p, r.model[off:off+size], off)
}

// compare checks the whole file.
func (r *run) compare() error {
	size, err := r.f.Size()
	if err != nil {
		return err
	}
	if size != int64(len(r.model)) {
		return fmt.Errorf("the size is %d, want %d", size, len(r.model))
	}
	return r.read(step{kind: stepRead, size: size + 1})
}

// differ tells where two slices differ first.
func differ(got, want []byte, off int64) error {
	if bytes.Equal(got, want) {
		return nil
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d is %#02x, want %#02x", off+int64(i), got[i], want[i])
		}
	}
	return nil
}

// shrink leaves out steps as long as the rest still fails: halves first, then ever smaller parts.
func shrink(open func() (File, error), f *failure) *failure {
	tries := 0
	for part := len(f.steps) / 2; part > 0 && tries < maxShrinks; {
		smaller := false
		for i := 0; i < len(f.steps) && tries < maxShrinks; {
			rest := append(append([]step{}, f.steps[:i]...), f.steps[min(i+part, len(f.steps)):]...)
			tries++
			if g := replay(open, rest); g != nil {
				f, smaller = g, true
			} else {
				i += part
			}
		}
		if !smaller || part > 1 {
			part /= 2
		}
	}
	return f
}
