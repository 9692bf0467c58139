package fusemount

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// writerScript begins to write a file. finish says that all was done in between, waits and closes it.
const writerScript = `
import os, subprocess, sys
fd = os.open(os.environ["FILE"], os.O_RDWR | os.O_TRUNC)
os.write(fd, b"half")
def run(script):
    subprocess.run(["/bin/sh", "-c", script], pass_fds=[fd], env={"FD": str(fd)}, check=True)
def finish():
    print("done", flush=True)
    sys.stdin.readline()
    os.close(fd)
`

// TestInheritedDescriptor lets a child inherit a file that its parent is writing. When the child ends it closes the file, and that must
// commit nothing but what it has written itself: half of what the parent writes is no version.
func TestInheritedDescriptor(t *testing.T) {
	for _, tt := range []struct {
		name, script, want string
	}{
		{"a fork ends", "p = os.fork()\nif p == 0: os._exit(0)\nos.waitpid(p, 0)", "old"},
		{"a program ends", "run('/bin/true')", "old"},
		{"a program's children end", "run('/bin/true; (:); /bin/true')", "old"},
		{"a program writes", "run('/bin/echo child >&$FD')", "halfchild\n"},
		{"a program truncates", "run('truncate -s 2 /dev/fd/$FD')", "ha"},
		{"a fork truncates", "p = os.fork()\nif p == 0: os.ftruncate(fd, 2); os._exit(0)\nos.waitpid(p, 0)", "ha"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := mem.NewBackend(mem.BackendOptions{})
			d := storeDrive(t, drive.Options{Backend: b})
			m := mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}})
			path := filepath.Join(m.dir, "f")
			if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			parent := exec.CommandContext(t.Context(), "python3", "-c", writerScript+tt.script+"\nfinish()")
			parent.Env = append(os.Environ(), "FILE="+path)
			tell, ask := pipes(t, parent)
			if line, err := ask.ReadString('\n'); err != nil {
				t.Fatalf("%q, %v", line, err)
			}
			if got := committed(t, d, b, "f"); got != tt.want {
				t.Errorf("after the child has closed it the file is %q, want %q", got, tt.want)
			}
			if _, err := io.WriteString(tell, "go on\n"); err != nil {
				t.Fatal(err)
			}
			if err := parent.Wait(); err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want == "old" {
				want = "half"
			}
			if got := committed(t, d, b, "f"); got != want {
				t.Errorf("after the parent has closed it the file is %q, want %q", got, want)
			}
		})
	}
}

// pipes starts a program and returns its input and its output.
func pipes(t *testing.T, cmd *exec.Cmd) (io.Writer, *bufio.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewReader(out)
}

// committed is what the store has once all that was committed is uploaded.
func committed(t *testing.T, d *drive.Drive, b *mem.Backend, path string) string {
	t.Helper()
	if err := d.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, _, ok := b.Contents(path)
	if !ok {
		t.Fatalf("the store has no %s", path)
	}
	return string(text)
}
