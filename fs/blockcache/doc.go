// Package blockcache keeps parts of files of all drives on the local disk, below one limit.
//
// # Nouns
//
// A [Key] is one version of one file of one drive. Its contents lie in a sparse file of the object's full size, so that a complete one can
// be handed to the kernel as it is. A unit is 32 KiB of it ([Unit]), present or absent as a whole, with a crc32c; a map file beside the
// contents holds these. 32 units are a chunk, the piece in which an open file's contents are evicted.
//
// # Rules
//
//   - The version is part of the key: what is cached cannot be out of date.
//   - A unit that was there when the cache was opened is checked once before it is first served, or by Verify, and again if the file was
//     changed while it was closed. A damaged one is dropped and is absent then: its bytes are never served.
//   - Space is taken before anything is written, so that the limit holds while many write. Room is made by removing the files which nobody has
//     open, those first that were used once only, then chunks of open files, those first that were read already. Pinned files
//     are left alone: those with a descriptor handed out, and those that were asked to stay. Where a descriptor was handed out once, chunks
//     are never evicted, only the whole file: a mapping may be left. When nothing can go, WriteAt fails with
//     NoSpace, and the caller does without the cache. What is written to a file that was handed out is counted afterwards.
//   - Who has a descriptor may see others change the file (Alter). What was changed is no part of the key any more.
//   - The directory may be deleted while nobody uses it. What cannot be understood in it is removed.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. A [File] is one use of a key; each is closed by who opened it.
//
// # What it does not do
//
// It fetches nothing (fs/drive/fetch does) and keeps nothing that cannot be fetched again. It does not lock its directory.
package blockcache
