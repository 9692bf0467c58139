package nbformat

import (
	"bufio"
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// DefaultMaxSignatures is the number of signatures a [FileStore] holds unless told otherwise.
const DefaultMaxSignatures = 65_535

// FileStore is a [SignatureStore] in one file, a digest on each line in order of use. When it is full it forgets the
// least recently used quarter. One process at a time may have the file open.
type FileStore struct {
	path  string
	limit int

	mu     sync.Mutex // guards all below
	file   *os.File   // open for appending; nil after Close
	recent *list.List // digests, the most recently used at the front
	known  map[string]*list.Element
}

// OpenFileStore opens the store in the file at path and makes the file, private to its owner, if there is none. A line
// that is not a digest, such as one that a crash cut short, is skipped. A limit of 0 means [DefaultMaxSignatures]. The
// caller closes the store.
func OpenFileStore(path string, limit int) (*FileStore, error) {
	s := &FileStore{
		path:   path,
		limit:  cmp.Or(limit, DefaultMaxSignatures),
		recent: list.New(),
		known:  map[string]*list.Element{},
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	if err := s.rewrite(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *FileStore) load() error {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if digest := lines.Text(); isDigest(digest) {
			s.use(digest)
			s.cull()
		}
	}
	err = lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = nil // not a file of ours from here on
	}
	return errors.Join(err, f.Close())
}

// Has reports whether digest is in the store, and counts as a use of it.
func (s *FileStore) Has(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.known[digest]
	if ok {
		s.use(digest)
	}
	return ok
}

// Add puts digest, 64 hexadecimal digits, into the store. When it returns nil, digest is in the file durably.
func (s *FileStore) Add(digest string) error {
	if !isDigest(digest) {
		return fmt.Errorf("signature %q: %w", digest, fs.ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return fmt.Errorf("signatures %s: %w", s.path, fs.ErrClosed)
	}
	_, known := s.known[digest]
	s.use(digest)
	if s.cull() {
		return s.rewrite()
	}
	if known {
		return nil
	}
	_, err := s.file.WriteString(digest + "\n")
	return errors.Join(err, s.file.Sync())
}

// Remove takes digest out of the store.
func (s *FileStore) Remove(digest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return fmt.Errorf("signatures %s: %w", s.path, fs.ErrClosed)
	}
	element, ok := s.known[digest]
	if !ok {
		return nil
	}
	s.forget(element)
	return s.rewrite()
}

// Close saves the order of use and closes the file. Closing again does nothing.
func (s *FileStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.rewrite()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	s.file = nil
	return err
}

// use makes digest, new or not, the most recently used.
func (s *FileStore) use(digest string) {
	if element, ok := s.known[digest]; ok {
		s.recent.MoveToFront(element)
		return
	}
	s.known[digest] = s.recent.PushFront(digest)
}

func (s *FileStore) forget(element *list.Element) {
	delete(s.known, s.recent.Remove(element).(string))
}

// cull forgets a quarter if there are too many, and reports whether it did.
func (s *FileStore) cull() bool {
	if s.recent.Len() <= s.limit {
		return false
	}
	for s.recent.Len() > max(s.limit*3/4, 1) {
		s.forget(s.recent.Back())
	}
	return true
}

// rewrite replaces the file by one with each digest once, in order of use, and opens that.
func (s *FileStore) rewrite() error {
	var b strings.Builder
	for element := s.recent.Back(); element != nil; element = element.Prev() {
		b.WriteString(element.Value.(string))
		b.WriteByte('\n')
	}
	temporary, err := writeTemporary(s.path, []byte(b.String()))
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, s.path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	file, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if s.file != nil {
		err = s.file.Close()
	}
	s.file = file
	return err
}

// isDigest reports whether s is a SHA-256 digest in lower-case hexadecimal.
func isDigest(s string) bool {
	return len(s) == 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'f')
	})
}
