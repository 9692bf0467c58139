// Package fusemount is the kernel's door: it mounts the shared tree through FUSE, so that every program uses plain paths.
//
// # Nouns
//
// A [Server] is the tree mounted at a directory, until [Server.Close]. Each request has a [Caller], for whom [Options.View] gives the
// [access.View] through which everything is done. A node is superseded when its contents were replaced from elsewhere and the
// kernel does not know yet; it is detached as soon as the kernel has let go of it, and then serves those who have it open.
//
// # Rules
//
//   - One kernel inode never holds two versions. While a node is superseded, operations that reach it by path answer ESTALE, upon
//     which the kernel walks the path again by itself; operations on an open descriptor never do. No thread gets ESTALE twice running.
//   - Changes made elsewhere are told to the kernel by one goroutine in the order in which they happened, and echoed on one marked
//     thread, so that inotify watchers see them. No request ever waits for either, and no lock is held meanwhile.
//   - LOOKUP never waits for a live document; OPEN and GETATTR wait for a local save.
//   - Requests are not interrupted: EINTR would surface as SIGBUS in mapped memory. The kernel lets killed callers go by itself.
//   - Errors become errnos by [fs.Errno]; faults of ours are logged once. A panic is EIO and one log line.
//   - The process must run with umask 0: the kernel has applied the caller's already.
//
// # Concurrency
//
// All exported functions and methods may be called from any goroutine.
//
// # Example
//
//	m, err := fusemount.Mount(ctx, fusemount.Options{
//		Mountpoint: "/home/ada/drive",
//		View:       func(fusemount.Caller) (*access.View, error) { return view, nil },
//		Observe:    t.Observe,
//	})
//	defer m.Close(ctx)
//
// # What it does not do
//
// It decides nothing about access or merging (fs/access and fs/tree do), forwards no file locks (the kernel keeps them, and they
// hold within one mount), and has no O_TMPFILE.
package fusemount
