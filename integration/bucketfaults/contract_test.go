package bucketfaults

import (
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// TestContract is the contract of every drive, without faults.
func TestContract(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	type opened struct {
		b     *bucket
		m     *machine
		state string
	}
	of := map[fs.Drive]opened{}
	open := func(o opened) fs.Drive {
		d := o.b.drive(o.m, 1, o.state, nil)
		of[d] = o
		return d
	}
	drivetest.Run(t, func(t *testing.T) fs.Drive {
		return open(opened{newBucket(t, server, faultproxy.Options{}), newMachine(t), t.TempDir()})
	}, drivetest.Options{
		Absent: map[drivetest.Feature]string{
			drivetest.HardLinks: "a key is one name",
		},
		Reopen: func(t *testing.T, d fs.Drive) fs.Drive {
			t.Helper()
			if err := d.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return open(of[d])
		},
		Entries: count(1200, 10_000),
	})
}

func TestFSX(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	b, m := newBucket(t, server, faultproxy.Options{}), newMachine(t)
	n := byte(0)
	drivetest.FSX(t, func(t *testing.T) (drivetest.File, error) {
		n++
		d := b.drive(m, n, t.TempDir(), nil)
		closeLater(t, d)
		return drivetest.NewDriveFile(t.Context(), d.Root(), "f")
	}, drivetest.FSXOptions{Ops: count(2000, 20_000), Seed: uint64(count(1, 0))})
}
