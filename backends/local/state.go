package local

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	stateVersion = "1\n"
	seqBlock     = 1 << 16 // sequence numbers reserved by one write of the state
)

// state is the folder that belongs to one daemon. A nil dir keeps nothing.
type state struct {
	path string   // "" = nowhere
	lock *os.File // held while open
}

// openState locks the folder, making it if need be. An empty path is a state that keeps nothing.
func openState(path string) (*state, error) {
	if path == "" {
		return &state{}, nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fs.Wrap("open state", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fs.Wrap("open state", path, err)
	}
	s := &state{path: path, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(&fs.Error{Op: "open state", Path: path, Kind: fs.Busy, Err: err,
			Hint: "another daemon uses this drive; stop it first: jupyter-drive down"}, s.close())
	}
	if err := s.checkVersion(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *state) checkVersion() error {
	name := filepath.Join(s.path, "VERSION")
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return writeFile(name, []byte(stateVersion))
	case err != nil:
		return fs.Wrap("open state", s.path, err)
	case string(b) != stateVersion:
		return &fs.Error{Op: "open state", Path: s.path, Kind: fs.Unsupported, Err: fmt.Errorf("unknown version %q", b),
			Hint: "it was written by a newer release: use that one, or move the folder away and start anew"}
	}
	return nil
}

// file returns the path of a file in the state folder, or false if nothing is kept.
func (s *state) file(name string) (string, bool) { return filepath.Join(s.path, name), s.path != "" }

func (s *state) close() error {
	if s.lock == nil {
		return nil
	}
	// Not by Close alone: a process that is just being started may hold a copy for a moment.
	return errors.Join(unix.Flock(int(s.lock.Fd()), unix.LOCK_UN), s.lock.Close())
}

// writeFile puts whole contents in place of a file, durably.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp*")
	if err != nil {
		return fs.Wrap("write", name, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		return fs.Wrap("write", name, syncDir(filepath.Dir(name)))
	}
	return fs.Wrap("write", name, errors.Join(err, os.Remove(f.Name())))
}

func syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// feed numbers changes and passes them on.
type feed struct {
	drive fs.DriveID
	state *state

	mu       sync.Mutex // guards all below; held while sink is called, so that it hears in order
	sink     func(fs.Change)
	epoch    uint64
	seq      uint64
	reserved uint64 // numbers up to this one are written down as used
	failed   bool   // they cannot be written down
}

func (f *feed) init(drive fs.DriveID, s *state) {
	f.drive, f.state = drive, s
	if name, ok := s.file("seq"); ok {
		if b, err := os.ReadFile(name); err == nil {
			if f.epoch, f.reserved, ok = parseSeq(b); ok {
				f.seq = f.reserved
				return
			}
		}
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	f.epoch = binary.LittleEndian.Uint64(b[:])
}

// parseSeq reads what formatSeq wrote.
func parseSeq(b []byte) (epoch, reserved uint64, ok bool) {
	var sum uint64
	n, err := fmt.Sscanf(string(b), "%x %d %x\n", &epoch, &reserved, &sum)
	return epoch, reserved, err == nil && n == 3 && sum == epoch^reserved
}

func formatSeq(epoch, reserved uint64) []byte {
	return fmt.Appendf(nil, "%x %d %x\n", epoch, reserved, epoch^reserved)
}

func (f *feed) publishTo(sink func(fs.Change)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sink = sink
}

// publish numbers c and tells the sink. It returns the number.
func (f *feed) publish(c fs.Change) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	if f.seq > f.reserved {
		f.reserve()
	}
	c.Seq, c.Epoch, c.Drive, c.Time = f.seq, f.epoch, f.drive, time.Now()
	if f.sink != nil {
		f.sink(c)
	}
	return c.Seq
}

// reserve writes down that the next block of numbers is used. Where that fails the epoch changes at the next start: the old file,
// which would let numbers come again, is taken away. The caller holds mu.
func (f *feed) reserve() {
	f.reserved = f.seq + seqBlock
	name, ok := f.state.file("seq")
	if !ok || f.failed {
		return
	}
	if err := writeFile(name, formatSeq(f.epoch, f.reserved)); err != nil {
		f.failed = true
		_ = os.Remove(name) // on a full disk removal still works; if nothing works there is nobody to tell numbers apart for
	}
}
