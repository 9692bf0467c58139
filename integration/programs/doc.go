// Package programs runs programs that people use in the mount of the built daemon, on a drive in a bucket and on a local disk, and compares
// what they print and leave byte for byte: in the mount, in the bucket, and for a daemon that knows nothing else.
package programs
