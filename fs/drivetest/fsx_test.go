package drivetest

import (
	"path/filepath"
	"testing"
)

func TestFSXOnTheSystem(t *testing.T) {
	FSX(t, func(t *testing.T) (File, error) { return NewOSFile(filepath.Join(t.TempDir(), "f")) }, FSXOptions{Ops: 2000})
}

// forgetful is a file that leaves what was cut off where it was.
type forgetful struct {
	File
	size int64
}

func (f *forgetful) Truncate(size int64) error {
	if now, err := f.File.Size(); err != nil || size >= now {
		f.size = size
		return f.File.Truncate(size)
	}
	f.size = size
	return nil
}

func (f *forgetful) WriteAt(p []byte, off int64) (int, error) {
	f.size = max(f.size, off+int64(len(p)))
	return f.File.WriteAt(p, off)
}

func (f *forgetful) Size() (int64, error) { return f.size, nil }

func TestFSXShrinks(t *testing.T) {
	dir := t.TempDir()
	open := func() (File, error) {
		f, err := NewOSFile(filepath.Join(dir, "f"))
		return &forgetful{File: f}, err
	}
	for seed := range uint64(3) {
		f := exercise(open, FSXOptions{Ops: 500, Size: DefaultFSXSize, Seed: seed + 1})
		if f == nil {
			t.Fatalf("seed %d: a file that forgets to cut was not noticed", seed+1)
		}
		if len(f.steps) > 3 {
			t.Errorf("seed %d: %d steps are left, want at most 3:\n%v\n%s", seed+1, len(f.steps), f.err, f)
		}
	}
}
