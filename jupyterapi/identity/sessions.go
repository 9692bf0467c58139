package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// maxSessions is how many sessions are kept; the oldest is forgotten for a new one.
const maxSessions = 4096

// digest is a SHA-256 that shows as hexadecimal digits in JSON.
type digest [32]byte

func (d digest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(d[:])), nil }

func (d *digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return errors.New("not a SHA-256 in hexadecimal digits")
	}
	*d = digest(b)
	return nil
}

// session is one login. The id itself is only in the browser.
type session struct {
	ID      digest    `json:"id_sha256"`
	Token   digest    `json:"token_sha256"` // of the token it was made with
	Created time.Time `json:"created"`
}

// sessions is the set of logins, in a file that only the owner can read.
type sessions struct {
	file string // "" = kept in memory only
	age  time.Duration
	now  func() time.Time

	mu  sync.Mutex // guards all below and the file
	all map[digest]session
}

// sessionsFile is what the file holds.
type sessionsFile struct {
	Version  int       `json:"version"`
	Sessions []session `json:"sessions"`
}

func openSessions(file string, age time.Duration, now func() time.Time) (*sessions, error) {
	s := &sessions{file: file, age: age, now: now, all: map[digest]session{}}
	var stored sessionsFile
	if err := readState(file, &stored); err != nil {
		return nil, err
	}
	for _, one := range stored.Sessions {
		s.all[one.ID] = one
	}
	return s, nil
}

// create makes a session and returns its id: 64 hexadecimal digits.
func (s *sessions) create(token digest) (string, error) {
	id := rand.Text() + rand.Text() // 256 bits and more
	sum := digest(sha256.Sum256([]byte(id)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune()
	s.all[sum] = session{ID: sum, Token: token, Created: s.now().UTC()}
	return id, s.store()
}

// find returns the token hash of a session that has not expired.
func (s *sessions) find(id string) (token digest, ok bool) {
	if id == "" || len(id) > maxToken {
		return digest{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[sha256.Sum256([]byte(id))]
	if !ok || s.expired(one) {
		return digest{}, false
	}
	return one.Token, true
}

// end forgets a session; an unknown id does nothing.
func (s *sessions) end(id string) error {
	sum := digest(sha256.Sum256([]byte(id)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[sum]; !ok {
		return nil
	}
	delete(s.all, sum)
	return s.store()
}

// retain ends the sessions whose token is gone.
func (s *sessions) retain(known func(token digest) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.all)
	for id, one := range s.all {
		if !known(one.Token) {
			delete(s.all, id)
		}
	}
	if len(s.all) == before {
		return nil
	}
	return s.store()
}

func (s *sessions) expired(one session) bool { return s.now().Sub(one.Created) > s.age }

// prune drops what has expired, and the oldest if there are too many. The caller holds mu.
func (s *sessions) prune() {
	for id, one := range s.all {
		if s.expired(one) {
			delete(s.all, id)
		}
	}
	if list := s.sorted(); len(list) >= maxSessions {
		for _, one := range list[:len(list)-maxSessions+1] {
			delete(s.all, one.ID)
		}
	}
}

// sorted returns the sessions, oldest first. The caller holds mu.
func (s *sessions) sorted() []session {
	list := make([]session, 0, len(s.all))
	for _, one := range s.all {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b session) int { return a.Created.Compare(b.Created) })
	return list
}

// store writes the file. The caller holds mu.
func (s *sessions) store() error {
	return writeState(s.file, sessionsFile{Version: stateVersion, Sessions: s.sorted()})
}

// stateVersion is the version of the files of this package.
const stateVersion = 1

// readState reads a JSON file of this package into v; one that is not there leaves v as it is.
func readState(file string, v any) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fs.Wrap("read", file, err)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return &fs.Error{Op: "read", Path: file, Kind: fs.Internal, Err: err, Hint: "move the file away; people then log in again"}
	}
	if head.Version != stateVersion {
		return &fs.Error{Op: "read", Path: file, Kind: fs.Unsupported, Err: errors.New("written by another release of jupyter-drive"),
			Hint: "use that release, or move the file away; people then log in again"}
	}
	return fs.Wrap("read", file, json.Unmarshal(data, v))
}

// writeState replaces a JSON file of this package, readable by the owner only: a crash leaves the old file or the new one.
func writeState(file string, v any) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fs.Wrap("write", file, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*") // mode 0600
	if err != nil {
		return fs.Wrap("write", file, err)
	}
	_, err = tmp.Write(append(data, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fs.Wrap("write", file, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
