// Package fs is the dictionary of Jupyter Drive: the names, types and contracts that every other package shares.
//
// # Nouns
//
// A [Drive] is one tree of files: a local folder, a bucket, a shared folder of Google Drive. Several drives hang side by side
// under one root; a [Path] names a file in that whole: its first component is the drive. A [Node] is the identity behind an
// inode number, a [Dir] a node that is a directory, a [Handle] an open node. Whole contents have a [Version], documents a
// [FileID] that survives rename. Every change is published as a [Change]. A [Backend] is what an object store offers; package
// fs/drive makes a Drive of it. A [Principal] does an [Action] on a [Resource]; package fs/access decides whether it may.
//
// # Rules for every implementation
//
//   - Data is never shared between caller and callee after a call has returned.
//   - Every call may be made from any goroutine at any time, unless its comment says otherwise.
//   - A call ends soon after its context does. A mutation that was begun is finished all the same, or leaves no trace.
//   - Content that is replaced as a whole is a new node ([Node.Superseded]); content that is edited in place keeps its node.
//   - Errors are of type [*Error] and have a [Kind]; nobody matches on their text.
//   - Names are bytes as the store has them: no Unicode normalisation, no case folding.
//   - Who caused a change travels in the context ([WithCause]).
//
// # Example
//
//	root := drive.Root()
//	n, err := root.Lookup(ctx, "data.csv")
//	h, err := n.Open(ctx, fs.OpenRead)
//	defer h.Release(ctx)
//	_, err = h.ReadAt(ctx, buf, 0)
//
// # What it does not do
//
// It holds no policy (fs/access), routes no paths (fs/tree), knows no store and no protocol, and imports the standard library only.
package fs
