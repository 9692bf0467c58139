package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// stagingVersion is the format of the staging folder.
const stagingVersion = "1\n"

// stagingDir holds what programs have written to live documents and is not merged yet: a data file, and once it was closed or
// synced a record that says what to do with it after a crash.
type stagingDir struct {
	keep    bool // else it is a temporary folder
	left    []record
	mu      sync.Mutex // guards dir
	dir     string     // "" until it is needed
	pattern string
}

// record says what the bytes of a staging file are. Path is not text: names need not be UTF-8.
type record struct {
	Name   string     `json:"name"`
	Drive  fs.FileID  `json:"drive"` // a DriveID, which has the same form
	Path   []byte     `json:"path"`  // inside the drive
	FileID fs.FileID  `json:"file_id"`
	At     fs.Version `json:"at"` // what the file was when it was opened
	Actor  string     `json:"actor"`
	Closed bool       `json:"closed"` // by all writers; else only synced
}

func (s *stagingDir) init(dir string) error {
	s.pattern = "jupyter-drive-staging-*"
	if dir == "" {
		return nil
	}
	s.keep, s.dir = true, dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fs.Wrap("staging", dir, err)
	}
	if err := s.checkVersion(); err != nil {
		return err
	}
	return s.readLeft()
}

func (s *stagingDir) checkVersion() error {
	name := filepath.Join(s.dir, "VERSION")
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(b) == 0: // a full disk or a loss of power has left it so
		return fs.Wrap("staging", name, os.WriteFile(name, []byte(stagingVersion), 0o600))
	case err != nil:
		return fs.Wrap("staging", name, err)
	case string(b) != stagingVersion:
		return &fs.Error{Op: "staging", Path: name, Kind: fs.Unsupported, Err: fmt.Errorf("the format %q is not known", b),
			Hint: "use the release that has written it once more, then this one"}
	}
	return nil
}

// readLeft reads the records of the process before, and removes data that no record speaks of: it was neither closed nor synced.
func (s *stagingDir) readLeft() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fs.Wrap("staging", s.dir, err)
	}
	known := map[string]bool{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		rec, err := parseRecord(s.read(e.Name()))
		if err != nil || rec.Name != name {
			return &fs.Error{Op: "staging", Path: filepath.Join(s.dir, e.Name()), Kind: fs.Invalid, Err: err,
				Hint: "the file beside it has the bytes: save it elsewhere and remove both"}
		}
		known[name] = true
		s.left = append(s.left, rec)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".data")
		if ok && !known[name] {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return fs.Wrap("staging", s.dir, err)
			}
		}
	}
	return nil
}

func (s *stagingDir) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.dir, name))
}

func parseRecord(b []byte, err error) (record, error) {
	var rec record
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	if err == nil && strings.ContainsAny(rec.Name, "/\x00") {
		err = errors.New("not a name")
	}
	return rec, err
}

// take returns the records of a drive that the process before has left, once.
func (s *stagingDir) take(drive fs.DriveID) []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken, rest []record
	for _, rec := range s.left {
		if fs.DriveID(rec.Drive) == drive {
			taken = append(taken, rec)
		} else {
			rest = append(rest, rec)
		}
	}
	s.left = rest
	return taken
}

// create makes an empty data file and returns its name.
func (s *stagingDir) create() (f *os.File, name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", s.pattern); err != nil {
			return nil, "", err
		}
	}
	name = fs.NewFileID().String()
	f, err = os.OpenFile(s.data(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, name, err
}

func (s *stagingDir) data(name string) string { return filepath.Join(s.dir, name+".data") }

// commit writes the record; with durable it, the data and the folder are on the disk afterwards.
func (s *stagingDir) commit(rec record, data *os.File, durable bool) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, rec.Name+".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if durable && err == nil {
		err = errors.Join(f.Sync(), data.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, rec.Name+".json")); err != nil || !durable {
		return err
	}
	return syncDir(s.dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// remove forgets a staging file. Its record goes first: data without one means nothing.
func (s *stagingDir) remove(name string) error {
	err := os.Remove(filepath.Join(s.dir, name+".json"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil // it was never closed or synced
	}
	return errors.Join(err, os.Remove(s.data(name)))
}

func (s *stagingDir) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep || s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
