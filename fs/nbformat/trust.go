package nbformat

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// keyBytes is the amount of randomness in a new signing key.
const keyBytes = 1024

// SignatureStore remembers the digests of trusted notebooks.
type SignatureStore interface {
	// Has reports whether digest was added, and counts as a use of it.
	Has(digest string) bool
	// Add remembers digest; adding it again counts as a use.
	Add(digest string) error
	// Remove forgets digest, whether it was there or not.
	Remove(digest string) error
}

// Notary tells which notebooks one user trusts. Trust is personal: each user needs a key and a store of their own.
type Notary struct {
	Key   []byte
	Store SignatureStore
}

// Mark prepares a notebook that was read for display: all code cells become trusted if the notebook was signed, and
// untrusted otherwise.
func (y *Notary) Mark(n *Notebook) { n.MarkTrusted(y.Store.Has(n.Digest(y.Key))) }

// Save prepares a notebook for writing: it signs it if all its cells are trusted, and removes the marks of trust.
func (y *Notary) Save(n *Notebook) error {
	trusted := n.CellsTrusted()
	n.StripTrust()
	if !trusted {
		return nil
	}
	return y.Sign(n)
}

// Sign remembers that the notebook, with the outputs it has, is trusted.
func (y *Notary) Sign(n *Notebook) error { return y.Store.Add(n.Digest(y.Key)) }

// Unsign forgets that the notebook is trusted.
func (y *Notary) Unsign(n *Notebook) error { return y.Store.Remove(n.Digest(y.Key)) }

// Digest returns the signature of the notebook that Python's nbformat would compute with the same key for the same file:
// HMAC-SHA256, in hexadecimal, over its keys and values in order. Transient metadata does not count.
func (n *Notebook) Digest(key []byte) string {
	mac := hmac.New(sha256.New, key)
	digest(mac, n.withoutTransients())
	return hex.EncodeToString(mac.Sum(nil))
}

// digest writes keys and values as Python's str gives them. A hash never fails to be written to.
func digest(w io.Writer, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			_, _ = io.WriteString(w, key)
			digest(w, v[key])
		}
	case []any:
		for _, item := range v {
			digest(w, item)
		}
	case string:
		_, _ = io.WriteString(w, v)
	default:
		_, _ = io.WriteString(w, pythonString(v))
	}
}

// pythonString returns null, a boolean or a number as Python's str prints it.
func pythonString(v any) string {
	switch v {
	case nil:
		return "None"
	case true:
		return "True"
	case false:
		return "False"
	}
	n, _ := numberOf(v) // documents hold no other types
	return n.pythonString()
}

// MarkTrusted sets metadata.trusted of all code cells.
func (n *Notebook) MarkTrusted(trusted bool) {
	for _, cell := range n.Cells() {
		if cell.Type() != "code" {
			continue
		}
		if _, ok := cell["metadata"]; !ok {
			cell["metadata"] = map[string]any{}
		}
		if metadata := cell.Metadata(); metadata != nil {
			metadata["trusted"] = trusted
		}
	}
}

// StripTrust removes metadata.trusted of all cells.
func (n *Notebook) StripTrust() {
	for _, cell := range n.Cells() {
		delete(cell.Metadata(), "trusted")
	}
}

// CellsTrusted reports whether no code cell needs trust that it has not: it is marked as trusted, or none of its outputs
// has data that could be harmful, as results and displays have and streams and errors have not.
func (n *Notebook) CellsTrusted() bool {
	return !slices.ContainsFunc(n.Cells(), func(cell Cell) bool {
		return cell.Type() == "code" && cell.Metadata()["trusted"] != true &&
			slices.ContainsFunc(cell.Outputs(), needsTrust)
	})
}

func needsTrust(output map[string]any) bool {
	switch text(output["output_type"]) {
	case "execute_result", "display_data":
	default:
		return false
	}
	for key := range output {
		switch key {
		case "output_type", "execution_count", "metadata":
		default:
			return true
		}
	}
	return false
}

// LoadKey returns the signing key in the file at path, all its bytes. It makes the file, which only its owner may read,
// if there is none: 1024 random bytes in base64 lines, as Python's notebook_secret. Of several processes that do so at
// once, all get the same key.
func LoadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	temporary, err := writeTemporary(path, newKey())
	if err != nil {
		return nil, err
	}
	// Link, unlike rename, never replaces the key that another process has made meanwhile.
	err = os.Link(temporary, path)
	if err := os.Remove(temporary); err != nil {
		return nil, err
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}

func newKey() []byte {
	random := make([]byte, keyBytes)
	_, _ = rand.Read(random) // never fails: the runtime ends the process if the system has no randomness
	encoded := base64.StdEncoding.AppendEncode(nil, random)
	var lines bytes.Buffer
	for line := range slices.Chunk(encoded, 76) {
		lines.Write(line)
		lines.WriteByte('\n')
	}
	return lines.Bytes()
}

// writeTemporary writes data durably to a new private file beside path and returns its name.
func writeTemporary(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return "", errors.Join(fmt.Errorf("write %s: %w", f.Name(), err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}
