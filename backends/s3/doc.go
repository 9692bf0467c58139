// Package s3 is a bucket, or a part of one, as an fs.Backend: AWS S3 and what speaks its protocol.
//
// # Nouns
//
// A path of the drive is an object's key without [Options.Prefix]. A directory is a prefix of keys; its marker is an empty object
// whose key ends with a slash. An fs.Version is an ETag with its quotes, as the store gives it, or where it gives
// none, or a weak one, made of the object's time and size, which are compared with each answer; versions that Versions returns have "#" and the
// store's version id after it.
//
// # Rules
//
//   - Objects stay the user's own files: one object is one file, readable by every other program.
//   - What an object is beyond its bytes is in its user metadata, in the keys that rclone, s3fs, gcsfuse and geesefs know; theirs are read
//     too (attributes.go). Values are percent-encoded ASCII.
//   - What the store cannot do is found out by [Backend.Probe]. A condition that the store would ignore is checked by a request before,
//     and Caps says Advisory. Until a probe all but plain conditional writes are taken for such.
//   - Annotations and renames of the newer protocol are never sent: stores that do not know them overwrite the object.
//   - A store that answers in XML without url encoding cannot list control characters: such names are refused there.
//
// # Errors
//
// All are [*fs.Error] (errors.go). A bucket that is not there is Unavailable: never take its objects for removed. Throttled has
// RetryAfter if the store names one. The SDK itself tries three times.
//
// # Concurrency
//
// Every method may be called at any time. A Writer belongs to one goroutine.
//
// # Example
//
//	b, err := s3.New(s3.Options{Config: cfg, Bucket: "data", Prefix: "team/"})
//	caps, err := b.Probe(ctx)
//
// # What it does not do
//
// It caches nothing, does not read the environment, and does not know of other versions than those of the bucket's own versioning.
package s3
