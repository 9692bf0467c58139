// Package local makes a folder of this machine an [fs.Drive]: real POSIX below one directory, and nothing outside it.
//
// # Nouns
//
// A [Drive] is opened on a root folder ([Options].Root), which it holds as a descriptor. A node is a place (directory, name) and an
// identity: device, inode number and birth time. Its state folder ([Options].StateDir) belongs to one daemon; the drive's UUID is kept
// in the folder itself ([ReadID]).
//
// # Rules
//
//   - Every path is walked by openat2(2) beneath the root descriptor, through no symbolic or magic link; an operation is then done with
//     *at calls on (directory, name). No race, link or ".." leads outside, and depth is not limited by PATH_MAX.
//   - An operation checks that the name still leads to its node. If somebody has put another file there it fails with Stale: look the
//     name up again. A node without a name is served through an open handle, as an unlinked file is, and for a second without one.
//   - A version is made of identity, ctime, size and a counter. The counter tells apart two writes through this drive within one tick
//     of the file system's clock. Rename, chmod and the like through this drive change ctime but keep the version while the daemon runs.
//   - Replace writes a temporary file (".~jd-" and 16 hexadecimal digits, never shown), syncs it, and renames it over the name. What a
//     crash has left of it is removed at the next start, or when its directory is listed. Mode (without setuid and setgid), owner,
//     extended attributes and the document's id pass to the new file; other hard links of the old one keep it, without the id.
//   - Changes by others are found by inotify in directories that were looked at, or else on the next lookup. They are gathered for
//     [DefaultCoalesce]; a removal is told a round later, for many programs remove a file and make it again. When notices are lost,
//     OpLost is published.
//   - On file systems without birth times the identity is device and inode number alone: a number that is given again at once looks
//     like the same file, with another version. Without user xattrs document ids are kept in the state folder.
//
// # Errors
//
// They are of type [*fs.Error]; the kind follows from the system's error, which stays in the chain.
//
// # Concurrency
//
// All methods may be called at any time. Changes of names in one directory take turns.
//
// # Example
//
//	d, err := local.Open(ctx, local.Options{Root: "/home/ada/work", StateDir: state})
//	d.Publish(func(c fs.Change) { fmt.Println(c.Op, c.Path) })
//	r, err := d.Replace(ctx, "a.txt", strings.NewReader("text"), fs.ReplaceOptions{})
//	n, err := d.Root().Lookup(ctx, "a.txt")
//	err = d.Close(ctx)
//
// # What it does not do
//
// It checks no permissions beyond those that the system checks for the daemon, sets no umask, follows no links, and stages nothing but
// the temporary file of a Replace. It needs Linux 5.6 or later and /proc.
package local
