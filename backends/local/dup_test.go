package local_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

func dup(t *testing.T, fd int) int {
	t.Helper()
	d, err := unix.Dup(fd)
	if err != nil {
		t.Fatalf("Dup: %v", err)
	}
	return d
}
