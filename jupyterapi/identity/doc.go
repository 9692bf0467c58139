// Package identity finds out who sends an HTTP request, and keeps other web sites from sending one in that person's name.
//
// # Nouns
//
// A [User] is a name and the SHA-256 of a token. [Users] is the set of them; it can be replaced while the daemon runs. A session is
// what a login leaves behind: a random id in a cookie, of which only the hash is kept on this machine. A [Caller] is the answer: the
// [fs.Principal] and how it was recognised. A [Profile] is what people may say about themselves: a colour, initials, a display name.
//
// # Rules
//
//   - A token comes as the query argument "token" or in the header "Authorization: token T" or "Bearer T"; never in a body.
//   - The same token is always the same principal, with or without a cookie.
//   - A session ends at logout, after [Options.SessionAge], and when the token it was made with is gone.
//   - Who is recognised by a cookie must prove that the request comes from our own pages: same origin and, to change something, the
//     value of the cookie "_xsrf". Who sends a token has proved it.
//   - Tokens and session ids are compared as hashes, in constant time, and are neither logged nor stored.
//
// Errors are [*fs.Error] of kind Unauthenticated, Permission, Invalid, Throttled or Internal.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine.
//
// # Example
//
//	users, err := identity.NewUsers(identity.User{Name: "ada", TokenSHA256: sha256.Sum256([]byte(token)), Owner: true})
//	auth, err := identity.New(identity.Options{Users: users, StateDir: dir, BaseURL: "/"})
//	caller, err := auth.Authenticate(r)
//
// # What it does not do
//
// It decides no permissions (fs/access does) and serves no routes (jupyterapi does).
package identity
