// Package jupyterapi is the HTTP and WebSocket door: Jupyter Server's REST API, its WebSockets and the pages around them.
//
// # Nouns
//
// A [Server] answers requests. Every request is one row of the router's table: a pattern, a method, and the right that it needs. Who
// calls is found by package identity; from then on a handler holds only an access.View, bound to that principal. Kernels, sessions
// and terminals are the small interfaces [Kernels], [Sessions] and [Terminals], given in [Options].
//
// # Rules
//
//   - A route without a right does not exist: the zero [need] refuses everybody.
//   - Paths of files are those of the mount, without the mount point. A name that begins with a dot is hidden: 404 when read, 400
//     when written.
//   - Documents are saved whole or not at all. The ETag of a file is the SHA-256 of its bytes; If-Match is
//     compared with what the store has now, If-None-Match: * with the names that are known of it.
//   - A file of up to 4 MiB is read before its answer begins, and read once more if it was replaced meanwhile. The answer with a larger one is
//     broken off, and never ended, when it cannot be read to its end.
//   - An error of the API is {"message", "reason"}, with a status from its [fs.Kind] and without a trace of the inside.
//   - No secret is logged.
//
// # Concurrency
//
// A Server may be used by any number of goroutines. [Server.Close] ends its WebSockets; requests under way are the http.Server's.
//
// # Example
//
//	api, err := jupyterapi.New(jupyterapi.Options{Auth: auth, View: views, Kernels: kernels, BaseURL: "/"})
//	srv := &http.Server{Handler: api.Handler(), ReadHeaderTimeout: 10 * time.Second}
//	defer api.Close(ctx)
//
// # What it does not do
//
// It starts no process, opens no file of the machine but the spill files of uploads and its own settings, and follows no path but
// through a View.
package jupyterapi
