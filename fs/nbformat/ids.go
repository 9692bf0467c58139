package nbformat

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// IDSource returns an identifier for a cell of a notebook, one for which taken is false. It is asked in cell order.
type IDSource func(cell Cell, taken func(id string) bool) string

// RandomIDs returns a source of eight random hexadecimal digits, as Python's nbformat gives a cell without identifier.
func RandomIDs() IDSource {
	return func(_ Cell, taken func(string) bool) string {
		for {
			var b [4]byte
			_, _ = rand.Read(b[:]) // never fails: the runtime ends the process if the system has no randomness
			if id := hex.EncodeToString(b[:]); !taken(id) {
				return id
			}
		}
	}
}

// DerivedIDs returns a source for one notebook whose identifiers depend on nothing but the cells, so that every reader of
// the same bytes gets the same ones: the first eight hexadecimal digits of SHA-256 over the type, the source and the
// ordinal among equal cells, separated by NUL; twelve digits where eight are taken.
func DerivedIDs() IDSource {
	ordinals := map[[sha256.Size]byte]int{}
	return func(cell Cell, taken func(string) bool) string {
		content := cell.Type() + "\x00" + cell.Source()
		key := sha256.Sum256([]byte(content))
		for {
			sum := sha256.Sum256([]byte(content + "\x00" + strconv.Itoa(ordinals[key])))
			ordinals[key]++
			digits := hex.EncodeToString(sum[:])
			for _, id := range []string{digits[:8], digits[:12]} {
				if !taken(id) {
					return id
				}
			}
		}
	}
}

// RepairIDs gives an identifier to each cell of a notebook of version 4.5 or later that has none, and a new one to each
// that repeats an earlier cell's. It returns the number of cells it changed.
func (n *Notebook) RepairIDs(ids IDSource) int {
	if major, minor := n.Version(); major != Major || minor < 5 {
		return 0
	}
	return fillIDs(n.Cells(), ids)
}

// StripIDs removes the identifiers that some writers gave to cells of a notebook before version 4.5, where the format
// does not allow them. It returns the number of cells it changed.
func (n *Notebook) StripIDs() int {
	if major, minor := n.Version(); major != Major || minor >= 5 {
		return 0
	}
	changed := 0
	for _, cell := range n.Cells() {
		if _, ok := cell["id"]; ok {
			delete(cell, "id")
			changed++
		}
	}
	return changed
}

func fillIDs(cells []Cell, ids IDSource) int {
	used := map[string]bool{}
	for _, cell := range cells {
		if id, ok := cell["id"].(string); ok {
			used[id] = true
		}
	}
	taken := func(id string) bool { return used[id] }
	seen := map[any]bool{}
	changed := 0
	for _, cell := range cells {
		id, present := cell["id"]
		if !present || isScalar(id) && seen[id] {
			given := ids(cell, taken)
			cell["id"], id = given, given
			used[given] = true
			changed++
		}
		if isScalar(id) {
			seen[id] = true
		}
	}
	return changed
}

// isScalar reports whether v, which may be the identifier of an invalid notebook, can be compared.
func isScalar(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return false
	}
	return true
}
