// Package journal is an append-only log of records in one directory: what a drive must remember beyond a crash.
//
// # Nouns
//
// A [Record] has a sequence number, a type that its owner chose (1 to 255; 0 is the journal's own) and a payload. Records are written as
// frames, one after another, into segments: files of a fixed size whose space is taken from the disk when they are made.
// A checkpoint is a segment that begins with a snapshot of everything its owner knows, so that older segments can go.
//
//	frame   length u32 | crc32c u32 | version u8 | sequence u64 | type u8 | payload     (little endian)
//
// The length counts what follows the checksum; the checksum covers the length and all that follows. A length of zero ends a segment.
// A segment begins with a frame of type 0 that tells how many of its bytes were durable when the segment got its name. Another frame of
// type 0 is written before the first record after each sync: its sequence number is that of the last record that was durable.
//
// # Rules
//
//   - What Append has returned for survives a kill of the process at any instant. What Sync has returned for survives a loss of power.
//     Without a Sync, records become durable within [DefaultSyncInterval].
//   - Records given to one Append are written with one write. A crash may keep some of them, then the first ones.
//   - Because space is taken beforehand, appending to a segment cannot meet a full disk. A part of it, [Options].Reserve, is kept for
//     AppendSettled: records after which the owner can give space back. Append fails with NoSpace when a new segment is needed and the
//     disk is full; AppendSettled then still works until the reserve is used up too.
//   - Open replays all records in order. A torn frame at the end of the last segment is cut off, and kept beside the segment as a file
//     ending in ".torn". A damaged frame that was durable is not cut: Open fails with Checksum. It fails with Unsupported for a version
//     or type that it does not know.
//   - After a failed sync nobody knows what is on the disk: all further calls fail with that error.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. The function given to Checkpoint runs while appends wait, and must not call
// the journal.
//
// # What it does not do
//
// It does not lock its directory: its owner holds the lock of the state directory.
package journal
