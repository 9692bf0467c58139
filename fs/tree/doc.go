// Package tree makes one shared tree of the drives: it routes paths, publishes changes and asks the hooks of live documents.
//
// # Nouns
//
// A [Tree] holds drives under names. Its root is a directory of its own that holds only drives, unless [Options.Root] makes one
// drive the root. Operations come in two forms: by path, for the API, where symbolic links inside a drive are followed one by one and
// never out of it; and by node, for the mount, where the kernel follows links itself. A [Subscription] delivers changes, an
// [fs.Observer] is told of them synchronously.
//
// A file that is edited live is attached ([Tree.Attach]). What programs in the mount write to it goes to a staging file that they
// all see, and is handed to [fs.Live] when the last of them has closed it; the drive gets the merged result only.
//
// # Rules
//
//   - The folder [fs.ReservedName] at a drive's root does not exist for callers.
//   - A mutation that did not come through the mount returns when the observers have acted upon it, or after [ObserverWait].
//   - Staging that was closed or synced survives a crash: [Tree.Add] brings it back, as the file if that is as it was, else as a
//     conflict copy.
//   - A live document whose name is gone waits [RemoveWait] for a new file of that name.
//   - The tree checks no permissions: package fs/access does, and doors hold only its View.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine.
//
// # Example
//
//	t, err := tree.New(tree.Options{})
//	err = t.Add("home", drive)
//	n, real, err := t.Resolve(ctx, "home/a.ipynb")
//	defer t.Close(ctx)
//
// # What it does not do
//
// It keeps no file contents but the staging of live documents, and starts no requests of its own to a store.
package tree
