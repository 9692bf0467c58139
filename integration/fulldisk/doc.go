// Package fulldisk runs the built program on a bucket, with all that it keeps on this machine on a small disk of its own, and fills that disk:
// with what waits for a store that is away, by somebody else, and so that the journal cannot grow. It needs root. All file systems and rounds
// are tried if JUPYTER_DRIVE_TEST_FULL is set.
package fulldisk
