// Package drive makes a [fs.Backend], an object store, a [fs.Drive]: files that can be opened, written in place, renamed and locked
// like those of a disk, while the store has whole versions under keys.
//
// # Nouns
//
// The tree of nodes is what is wanted. A pending key is a key of the store that is not yet as the tree has it; a worker reconciles
// it: it uploads, copies or removes, on condition that the store has what it is known to have. A layer is a staging file: bytes that
// were written over older layers or over a version in the store. A content is a committed state of a file, a stack of layers that
// does not change any more.
//
// # Rules
//
//   - Changes of names and attributes touch only memory and the journal. Close and fsync commit what was written to the journal; from
//     then on it survives a crash of the daemon. fsync makes it durable against loss of power as well.
//   - The store hears of a change about a second later; a second save, a rename over or a removal before that makes one request of
//     all, or none. A file that is saved again and again is uploaded every 10 seconds. What is written to a file that stays open is committed, and uploaded, after 30 seconds without a write, at the
//     latest 5 minutes after the first.
//   - Two names that change places (renameat2 with RENAME_EXCHANGE) do so here in one record of the journal. In the store both versions are there
//     all the time: where each is to go where the other one is, of files or of more in a circle, one is copied aside, below
//     .jupyter-drive/aside, and from there to its place when that is free. That takes three copies and a removal for two files, one copy
//     less, and no aside, where one of them was not uploaded yet. Folders are exchanged as their objects are.
//   - A FIFO, socket or device is an empty object whose attributes say what it is. As with a symbolic link, a listing does not tell it from a file:
//     the first open does.
//   - Nothing in the store is overwritten or removed but the version that is known. What others have put there keeps the path; the
//     own version goes to [fs.ConflictName], and [Status] tells. Equal bytes are no conflict. If bytes under what was written are gone,
//     that goes to [fs.PartialName], with zeros in their place.
//   - With [Options].Trash the last version that the store has of a file that is removed is copied to the trash, under the name that was removed,
//     also if the store has it under another one still, since the file was moved, and has no version of it under the new one. What is
//     replaced (saved, renamed over, removed and made anew before the store was told) leaves no copy.
//   - What is written in place is seen through the mount at once, by the API and live documents when it is committed. A handle of theirs
//     stays at the version that it was opened at.
//   - Listings are asked for anew after [Options].NamesTTL, contents at open after ContentsTTL, and at once for a save on a condition and
//     for who says so ([fs.WithSince]). What the store has replaced is a new
//     node. While the store cannot be reached, what is known serves, after a restart too: see [Options].Listings. What is not known is
//     asked for until the store has been out of reach for [Options].Deadline. The drive asks it all the time whether it is back, and
//     whether it lets the drive in again if it does not.
//   - A file that is whole in the cache is lent to the kernel ([fs.Passthrougher]) while it is open for reading. The lent file has
//     the bytes of the open file all the time, also what others write to it meanwhile.
//   - Every number (inode, version, change) is used once, also over restarts.
//   - When more than [Options].MaxNodes nodes are known, those that nobody uses, and that the store or the file of listings can tell again,
//     are let go of, whole listings at a time. They keep their numbers, and whoever still holds one holds the same that is found again.
//
// # Errors
//
// All are [*fs.Error]. A version that is gone from the store, but still open, reads as Stale. NoSpace is the local disk's.
//
// # Concurrency
//
// Every call may be made at any time from any goroutine. Changes are serialised up to their publication.
//
// # Example
//
//	d, err := drive.Open(ctx, drive.Options{ID: id, Backend: bucket, State: dir})
//	defer d.Close(ctx)
//	err = d.Wait(ctx) // until the store has everything
//
// # What it does not do
//
// There are no hard links. It knows no store and makes no request but through the Backend.
package drive
