package blockcache

import "testing"

func TestCheck(t *testing.T) {
	c := mustOpen(t, t.TempDir(), 64<<20)
	const size = 10 * Unit
	for _, name := range []string{"closed", "open"} {
		f := mustFile(t, c, key(name), size)
		mustWrite(t, f, 1, 0, 5*Unit)
		flip(t, c.dataPath(f.entry.id), Unit+3)
		if name == "closed" {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	other := mustFile(t, c, Key{Drive: "other", Name: "x", Version: "v"}, size)
	mustWrite(t, other, 2, 0, Unit)
	got, err := c.Check(t.Context(), "drive")
	if want := (Checked{Files: 2, Bytes: 10 * Unit, Damaged: 2 * Unit}); err != nil || got != want {
		t.Errorf("Check = %+v, %v, want %+v", got, err, want)
	}
	wantRead(t, mustFile(t, c, key("closed"), size), 1, Unit, 1, false)
	wantRead(t, mustFile(t, c, key("closed"), size), 1, 2*Unit, Unit, true)
	if got, err := c.Check(t.Context(), "drive"); err != nil || got.Damaged != 0 {
		t.Errorf("a second Check = %+v, %v", got, err)
	}
}

func TestKeepOnly(t *testing.T) {
	c := mustOpen(t, t.TempDir(), 64<<20)
	for _, drive := range []string{"a", "b"} {
		f := mustFile(t, c, Key{Drive: drive, Name: "x", Version: "v"}, Unit)
		mustWrite(t, f, 1, 0, Unit)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if freed := c.KeepOnly([]string{"b"}); freed < Unit || c.Used("a") != 0 || c.Used("b") == 0 {
		t.Errorf("freed %d; used %d and %d", freed, c.Used("a"), c.Used("b"))
	}
}
