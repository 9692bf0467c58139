// Package nbformat reads, upgrades, validates, writes and signs Jupyter notebook files.
//
// A [Notebook] is the document in memory: the JSON of the file with its multi-line strings joined. Fields this package
// does not know are kept. Values are map[string]any, []any, string, [Number], bool and nil. Transient metadata, such as
// which cells are trusted, is in memory and in the JSON of the contents API, never in files.
//
// Rules: versions 1 to 4 are read, minor versions after 4.5 leniently. [Notebook.Marshal] writes the bytes Python's
// nbformat writes: keys sorted by code point, indent of one space, no escapes for non-ASCII text, numbers as Python
// prints them, text split into lines as str.splitlines does. Reading never repairs: [Notebook.Upgrade] raises the
// version and [Notebook.RepairIDs] the cell ids, and only when asked. Strings may share the memory of the parsed input.
//
// Errors: [Parse] returns a [*SyntaxError] for bytes that are not JSON, a [*VersionError] for a version it does not
// know, a [*LimitError] for an input over a limit and a [*ValidationError] for JSON that has not the outline of a
// notebook. Nothing panics on hostile input: size, depth and the number of values are bounded.
//
// Concurrency: any number of goroutines may read one Notebook; a change needs exclusive use. [FileStore] and [Notary]
// are safe for concurrent use.
//
//	nb, err := nbformat.Parse(data)
//	if err != nil { return err }
//	if err := nb.Upgrade(nbformat.DerivedIDs()); err != nil { return err }
//	invalid := nb.Validate() // a *ValidationError, to be shown; the notebook can still be served and saved
//	data, err = nb.Marshal()
//
// It does not downgrade, execute or render notebooks, and it does not decide who may trust one.
package nbformat
