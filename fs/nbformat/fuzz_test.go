package nbformat

import (
	"bytes"
	"errors"
	"testing"
)

func addSeeds(f *testing.F) {
	f.Helper()
	for _, s := range corpus(3, 150) {
		f.Add(s.data)
	}
	f.Add([]byte(`{"cells": [{"source": ["\ud83d", "\ude00"], "outputs": 1}], "nbformat": 4}`))
	f.Add([]byte(`{"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "heading", "level": -1e99}]}]}`))
}

// FuzzParse looks for input on which anything panics, or fails with an error of another type than promised.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data)
		if err != nil {
			requireTyped(t, err)
			return
		}
		if err := n.Validate(); err != nil {
			requireTyped(t, err)
		}
		_ = n.Digest(nil)
		n.MarkTrusted(n.CellsTrusted())
		if err := n.Upgrade(DerivedIDs()); err != nil {
			requireTyped(t, err)
			return
		}
		if err := n.UpgradeMinor(DerivedIDs()); err != nil {
			requireTyped(t, err)
		}
		n.RepairIDs(RandomIDs())
		if _, err := n.MarshalJSON(); err != nil {
			t.Errorf("MarshalJSON() = %v", err)
		}
	})
}

func requireTyped(t *testing.T, err error) {
	t.Helper()
	var (
		syntax  *SyntaxError
		version *VersionError
		limit   *LimitError
		breach  *ValidationError
	)
	if !errors.As(err, &syntax) && !errors.As(err, &version) && !errors.As(err, &limit) && !errors.As(err, &breach) {
		t.Errorf("error of type %T: %v", err, err)
	}
}

// FuzzRoundTrip checks that what is written reads as the same notebook and is written as the same bytes again. Version 3
// has no such promise: whether its lines lost their ends has to be guessed.
func FuzzRoundTrip(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data)
		if err != nil {
			return
		}
		if major, _ := n.Version(); major != Major {
			return
		}
		once := mustMarshal(t, n)
		again := mustParse(t, once)
		if twice := mustMarshal(t, again); twice != once {
			t.Errorf("written %q, then %q", once, twice)
		}
		if got, want := again.Validate() == nil, n.Validate() == nil; got != want {
			t.Errorf("valid = %v after writing, was %v: %q", got, want, once)
		}
		if !bytes.Equal(n.digestInput(), again.digestInput()) {
			t.Errorf("digest of %q, then of %q", n.digestInput(), again.digestInput())
		}
	})
}

// digestInput returns what Digest is computed over.
func (n *Notebook) digestInput() []byte {
	var b bytes.Buffer
	digest(&b, n.withoutTransients())
	return b.Bytes()
}
