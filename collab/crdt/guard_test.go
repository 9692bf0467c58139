//go:build race

package crdt_test

import (
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

func TestOverlappingCallsPanic(t *testing.T) {
	d := crdt.New(crdt.Options{})
	d.Transact(func(*crdt.Tx) {
		d.StateVector() // the same goroutine may
		fault := make(chan any)
		go func() {
			defer func() { fault <- recover() }()
			d.StateVector()
		}()
		got, _ := (<-fault).(string)
		if !strings.Contains(got, "Doc.StateVector") || !strings.Contains(got, "Doc.Transact") {
			t.Errorf("panic = %q, want one that names both calls", got)
		}
	})
}
