package labapp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxDocument bounds a stored document, in bytes; a workspace with many open documents has some 50 KB.
const maxDocument = 4 << 20

// stored is a document of a user with the time of its last change, as the front end reads it.
type stored struct {
	data     []byte
	modified string
}

// userDir returns the folder of the user who sends r. It answers 403 and reports false when nobody does.
func (h *Handler) userDir(w http.ResponseWriter, r *http.Request) (string, bool) {
	user := h.opts.User(r)
	if user == "" {
		writeError(w, http.StatusForbidden, "Settings and workspaces belong to a user; log in first")
		return "", false
	}
	if h.opts.StateDir == "" {
		return "", true
	}
	return filepath.Join(h.opts.StateDir, fileName(user)), true
}

// writable answers 403 and reports false when nothing can be stored.
func (h *Handler) writable(w http.ResponseWriter) bool {
	if h.opts.StateDir == "" {
		writeError(w, http.StatusForbidden, "This server has no folder to keep settings and workspaces in")
		return false
	}
	return true
}

// fileName turns any text into a file name: what is readable in it, and a checksum that tells it from all others.
func fileName(text string) string {
	readable := strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			return c
		case 'A' <= c && c <= 'Z':
			return c - 'A' + 'a'
		}
		return -1
	}, text)
	sum := sha256.Sum256([]byte(text))
	return readable[:min(40, len(readable))] + "-" + hex.EncodeToString(sum[:8])
}

// readDocument returns a stored document. One that was never stored is [fs.ErrNotExist].
func readDocument(path string) (stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return stored{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return stored{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("%s has more than %d bytes", path, maxDocument)
	}
	return stored{data: data, modified: info.ModTime().UTC().Format(time.RFC3339Nano)}, err
}

// writeDocument replaces a stored document by data, as a whole and durably, and makes the folders that it needs.
func writeDocument(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readBody returns the body of a request. It answers 413 or 400 and reports false when there is none to be had.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The document is larger than %d bytes", maxDocument))
	} else if err != nil {
		writeError(w, http.StatusBadRequest, "The request's body ended early")
	}
	return body, err == nil
}

// isMissing reports whether err says that a document is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
