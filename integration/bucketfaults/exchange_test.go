package bucketfaults

import (
	"maps"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// TestExchangeRequests counts what an exchange of two files asks of a bucket.
func TestExchangeRequests(t *testing.T) {
	b, m := newBucket(t, versitygw.Run(t, versitygw.Options{}), faultproxy.Options{}), newMachine(t)
	d := b.drive(m, 1, t.TempDir(), nil)
	closeLater(t, d)
	for name, data := range map[string]string{"a": "one", "b": "second"} {
		if _, err := d.Replace(t.Context(), name, strings.NewReader(data), fs.ReplaceOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.proxy.Reset()
	if err := d.Root().Rename(t.Context(), "a", d.Root(), "b", fs.RenameExchange); err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := b.proxy.Counts(), map[string]int{"head": 3, "copy": 3, "delete": 1}; !maps.Equal(got, want) {
		t.Errorf("requests: %v, want %v", got, want)
	}
}
