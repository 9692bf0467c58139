// Package snapshot keeps what was last known of directories in one file, for a start without the store.
//
// # Nouns
//
// A listing is the bytes that the owner makes of one directory. A name that leaves a directory after its listing was written is gone from
// it.
//
//	file    magic 8 | drive 16 | boot 16 | clean u8 | frames
//	frame   length u32 | crc32c u32 | kind u8 | length of the path u32 | path | data     (little endian)
//
// # Rules
//
//   - It is a cache: it may be deleted at any time, and what cannot be trusted is dropped. That is a file of another drive or release, and
//     one that was not closed before the machine went down: it may lack what was written last. A torn frame ends the file.
//   - The last frame about a path counts. What no frame needs is removed by writing the file anew, which keeps the newest listings up to
//     half of [Options].Limit.
//   - A failure to write empties the file: what it says might be old.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. Nothing but Open and Close waits for the disk itself.
package snapshot
