package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// benchMillion prints what a drive over a store of a million objects takes, as the test measures it in which a process serves nothing else.
func benchMillion(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count", "1", "-v", "-run", "^TestMillionObjects$", "./fs/fusemount")
	cmd.Dir, cmd.Env = sandbox.Module(), append(os.Environ(), "JUPYTER_DRIVE_TEST_FULL=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("a million objects: %w\n%s", err, out)
	}
	fmt.Println("\na million generated objects")
	for line := range bytes.Lines(out) {
		if _, text, ok := bytes.Cut(line, []byte("million_test.go:")); ok {
			_, text, _ = bytes.Cut(text, []byte(": "))
			fmt.Printf("  %s", text)
		}
	}
	return nil
}
