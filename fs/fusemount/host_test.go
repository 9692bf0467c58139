package fusemount

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestHostCheck(t *testing.T) {
	device := filepath.Join(t.TempDir(), "fuse")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "fuse.conf")
	if err := os.WriteFile(conf, []byte("# comment\nuser_allow_other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	found := func(name string) (string, error) { return "/bin/" + name, nil }
	missing := func(string) (string, error) { return "", errors.New("not found") }
	tests := []struct {
		name       string
		host       host
		allowOther bool
		want       string // part of the message; "" = no error
	}{
		{"all there", host{device: device, find: found}, false, ""},
		{"root needs no fusermount3", host{device: device, root: true, find: missing}, true, ""},
		{"no device", host{device: device + "x", find: found}, false, "is missing (Load it: sudo modprobe fuse. In a container: --device /dev/fuse"},
		{"no fusermount3", host{device: device, find: missing}, false, "sudo apt install fuse3"},
		{"allow_other not allowed", host{device: device, find: found, conf: conf + "x"}, true, "add the line user_allow_other to " + conf + "x"},
		{"allow_other allowed", host{device: device, find: found, conf: conf}, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.host.check(tt.allowOther)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("check() = %v, want nil", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("check() = %v, want %q in it", err, tt.want)
			case tt.want != "" && fs.KindOf(err) != fs.Unavailable:
				t.Errorf("check() is of kind %v, want Unavailable", fs.KindOf(err))
			}
		})
	}
}

func init() {
	children["check device"] = func() int {
		err := host{device: childDir(), root: true}.check(false)
		if err == nil || !strings.Contains(err.Error(), "may not be opened by this user") {
			println("check() =", err)
			return 1
		}
		return 0
	}
}

// TestDeviceOfOthers checks the message for a /dev/fuse that an ordinary user may not open.
func TestDeviceOfOthers(t *testing.T) {
	needRoot(t)
	device := filepath.Join(openTempDir(t), "fuse")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "check device", device, nobody).stop()
}

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "new", "mnt")
	if err := prepare(missing, false); err != nil {
		t.Errorf("prepare of a missing directory = %v, want it made", err)
	}
	if st, err := os.Stat(missing); err != nil || !st.IsDir() {
		t.Errorf("after prepare: %v, %v", st, err)
	}
	full := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d"} {
		writeFile(t, filepath.Join(full, name), "")
	}
	err := prepare(full, false)
	if fs.KindOf(err) != fs.NotEmpty || !strings.Contains(err.Error(), "it has a, b, c, …") || !strings.Contains(err.Error(), "choose an empty directory") {
		t.Errorf("prepare of a full directory = %v, want three names and the flag", err)
	}
	if err := prepare(full, true); err != nil {
		t.Errorf("prepare with nonempty = %v", err)
	}
	if err := prepare(filepath.Join(full, "a"), false); err == nil {
		t.Error("prepare of a file succeeded")
	}
}

func TestParseMount(t *testing.T) {
	tests := []struct {
		line string
		want mountPoint
		ok   bool
	}{
		{"36 35 98:7 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw", mountPoint{98<<8 | 7, "/mnt2", "ext3"}, true},
		{"42 27 0:39 / /a\\040b\\011c\\134d rw - fuse.jupyter-drive jupyter-drive rw", mountPoint{39, "/a b\tc\\d", FSType}, true},
		{"1 2 0:3 / /x rw shared:1 master:2 - tmpfs - rw", mountPoint{3, "/x", "tmpfs"}, true},
		{"", mountPoint{}, false},
		{"36 35 98 / /x rw - ext4 d rw", mountPoint{}, false},
		{"36 35 0:1 / /x rw ext4 d rw", mountPoint{}, false},
		{"36 35 0:1 / /x rw -", mountPoint{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseMount(tt.line); got != tt.want || ok != tt.ok {
			t.Errorf("parseMount(%q) = %+v, %v, want %+v, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseMount(f *testing.F) {
	f.Add("36 35 98:7 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw")
	f.Add(`42 27 0:39 / /a\040b\ rw - fuse.jupyter-drive x rw`)
	f.Fuzz(func(t *testing.T, line string) {
		mp, ok := parseMount(line)
		if ok && (mp.path == "" || mp.fstype == "") {
			t.Errorf("parseMount(%q) = %+v with empty fields", line, mp)
		}
	})
}

func TestParseTgid(t *testing.T) {
	tests := []struct {
		status string
		want   uint32
	}{
		{"Name:\tcat\nUmask:\t0022\nTgid:\t1234\nNgid:\t0\nPid:\t1235\n", 1234},
		{"Tgid:\n", 0},
		{"Tgid:\tx\n", 0},
		{"", 0},
	}
	for _, tt := range tests {
		if got := parseTgid([]byte(tt.status)); got != tt.want {
			t.Errorf("parseTgid(%q) = %d, want %d", tt.status, got, tt.want)
		}
	}
}

func FuzzParseTgid(f *testing.F) {
	f.Add([]byte("Name:\tcat\nTgid:\t1234\n"))
	f.Fuzz(func(t *testing.T, status []byte) {
		if got := parseTgid(status); got != 0 && !strings.Contains(string(status), "Tgid:") {
			t.Errorf("parseTgid(%q) = %d from nothing", status, got)
		}
	})
}

func TestProcessOfThread(t *testing.T) {
	var p processes
	if got := p.of(uint32(os.Getpid())); got != uint32(os.Getpid()) {
		t.Errorf("of(main thread) = %d, want %d", got, os.Getpid())
	}
	if got := p.of(0); got != 0 {
		t.Errorf("of(0) = %d, want 0", got)
	}
	if got := p.of(1 << 30); got != 0 {
		t.Errorf("of(no thread) = %d, want 0", got)
	}
}
