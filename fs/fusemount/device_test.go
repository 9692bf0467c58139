package fusemount

import (
	"os/exec"
	"strings"
	"testing"
)

func TestChildrenDoNotInheritTheDevice(t *testing.T) {
	f := mount(t, setup{})
	if out, err := exec.Command("ls", f.dir).CombinedOutput(); err != nil {
		t.Fatalf("ls %s: %v\n%s", f.dir, err, out)
	}
	out, err := exec.Command("sh", "-c", "ls -l /proc/self/fd").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "/dev/fuse") {
		t.Errorf("a child process holds the FUSE device:\n%s", out)
	}
}
