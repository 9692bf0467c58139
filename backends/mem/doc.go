// Package mem is a drive and an object store that live in memory: the references of the Drive and the Backend contract and the
// ground of other packages' tests.
//
// # Nouns
//
// A [Drive] is a tree of POSIX inodes: files, directories, symbolic links and special files. Contents are kept in chunks, so that
// holes cost nothing. A [Backend] is a flat store of whole versions under raw keys, directories being prefixes of keys or markers, as
// on S3; its hooks see each request, delay it, refuse it or lose its answer. A [Generated] store computes a million keys.
//
// # Rules
//
//   - Everything is lost when the drive is closed or the process ends.
//   - There are no hard links: link(2) is not permitted.
//   - Modes are kept but not enforced.
//   - A write through a handle is published at the next Sync, Flush or Release of that handle; everything else at once.
//
// # Errors
//
// All are [*fs.Error]. [Options.Intercept] adds faults and delays of one's own.
//
// # Concurrency
//
// Every call may be made at any time. One lock serialises changes and their publication, another guards the state and is not held
// while changes are published: an observer may ask nodes for their path.
//
// # Example
//
//	d := mem.New(mem.Options{Size: 64 << 20})
//	defer d.Close(ctx)
//	made, err := d.Replace(ctx, "a.csv", strings.NewReader("x,y\n"), fs.ReplaceOptions{})
//
// # What it does not do
//
// It survives nothing, and the drive keeps no old versions.
package mem
