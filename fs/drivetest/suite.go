package drivetest

import (
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Feature is something that not every drive can do.
type Feature string

// The features that may be absent.
const (
	HardLinks Feature = "hard links"
	Symlinks  Feature = "symbolic links"
	Mknod     Feature = "special files"
	Xattrs    Feature = "extended attributes"
	Exchange  Feature = "exchanging two names"
	Reserved  Feature = "reserved records"
	Allocate  Feature = "fallocate"
	Holes     Feature = "seeking holes"
	Times     Feature = "setting times and modes"
)

// Options say what the suite may expect. The zero value expects every feature.
type Options struct {
	// Absent names the features that the drive does not have, and why: their cases are skipped with that reason.
	Absent map[Feature]string
	// Reopen closes the drive and opens it anew as after a restart; nil if the drive does not outlive its process.
	Reopen func(t *testing.T, d fs.Drive) fs.Drive
	// Entries is the size of the large directory; 0 = 10,000.
	Entries int
}

// testCase is one promise.
type testCase struct {
	name  string
	needs Feature // "" = every drive has it
	run   func(*env)
}

// Run checks the whole contract of the drives that fresh makes. Each must be empty; the suite closes it.
func Run(t *testing.T, fresh func(t *testing.T) fs.Drive, o Options) {
	t.Helper()
	groups := []struct {
		name  string
		cases []testCase
	}{
		{"Features", featureCases()},
		{"Names", nameCases()},
		{"Nodes", nodeCases()},
		{"Create", createCases()},
		{"ReadWrite", ioCases()},
		{"Attributes", attrCases()},
		{"Namespace", namespaceCases()},
		{"Rename", renameCases()},
		{"Listing", listingCases()},
		{"Links", linkCases()},
		{"Xattrs", xattrCases()},
		{"Replace", replaceCases()},
		{"Copy", copyCases()},
		{"Changes", changeCases()},
		{"Contexts", contextCases()},
		{"Reserved", reservedCases()},
		{"Concurrency", concurrencyCases()},
		{"Restart", restartCases()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					if why, absent := o.Absent[c.needs]; absent {
						t.Skipf("%s: %s", c.needs, why)
					}
					c.run(newEnv(t, fresh(t), o))
				})
			}
		})
	}
}

// featureCases check that the drive says of itself what the options say of it.
func featureCases() []testCase {
	return []testCase{{"said and done", "", func(e *env) {
		caps := e.d.Caps()
		_, reserver := fs.As[fs.Reserver](e.d)
		for f, has := range map[Feature]bool{
			HardLinks: caps.HardLinks, Symlinks: caps.Symlinks, Mknod: caps.Mknod, Xattrs: caps.Xattrs, Exchange: caps.Exchange,
			Reserved: reserver,
		} {
			if _, absent := e.o.Absent[f]; absent == has {
				e.t.Errorf("the drive has %s: %v, Options.Absent names it: %v", f, has, absent)
			}
		}
		if e.d.Root() != e.d.Root() {
			e.t.Error("Root() is not always the same node")
		}
		if e.d.ID() == (fs.DriveID{}) {
			e.t.Error("ID() is zero")
		}
	}}, {"absent means refused", "", func(e *env) {
		n := e.write("a", "x")
		if l, ok := fs.As[fs.Linker](e.root); ok && !e.d.Caps().HardLinks {
			_, err := l.Link(e.ctx, n, "b")
			e.oneOf("Link", err, fs.NotPermitted, fs.Unsupported)
		}
		if s, ok := fs.As[fs.Symlinker](e.root); ok && !e.d.Caps().Symlinks {
			_, err := s.Symlink(e.ctx, "l", "a", fs.CreateOptions{})
			e.oneOf("Symlink", err, fs.NotPermitted, fs.Unsupported)
		}
		if !e.d.Caps().Exchange {
			e.write("b", "y")
			e.oneOf("Rename(exchange)", e.root.Rename(e.ctx, "a", e.root, "b", fs.RenameExchange), fs.Unsupported, fs.Invalid)
		}
	}}, {"statfs", "", func(e *env) {
		st, err := e.d.Statfs(e.ctx)
		e.must("Statfs", err)
		if st.Free > st.Blocks || st.Avail > st.Free || st.Blocks > 0 && st.BlockSize == 0 {
			e.t.Errorf("Statfs() = %+v: sizes contradict each other", st)
		}
	}}}
}
