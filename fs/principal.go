package fs

// Principal is somebody who can do things: a person, a service, or the owner of the daemon.
type Principal struct {
	ID          string // stable over logins and restarts, e.g. "local:ada"
	Name        string // short, for file names and logs
	DisplayName string
	Initials    string
	Color       string // CSS colour, "" = the client chooses
	AvatarURL   string
	Owner       bool // the daemon runs as this person
}

// Action is what a principal wants to do.
type Action string

// The actions.
const (
	Read    Action = "read"
	Write   Action = "write"
	Comment Action = "comment"
	Execute Action = "execute" // run code in kernels and terminals
	Share   Action = "share"   // give rights to others
	Admin   Action = "admin"   // stop the daemon, change drives
)

// ResourceKind is the class of a resource; the names are those of Jupyter Server's authorizer.
type ResourceKind string

// The kinds of resource.
const (
	Contents    ResourceKind = "contents"
	Kernels     ResourceKind = "kernels"
	Kernelspecs ResourceKind = "kernelspecs"
	Sessions    ResourceKind = "sessions"
	Terminals   ResourceKind = "terminals"
	Config      ResourceKind = "config"
	Events      ResourceKind = "events"
	Server      ResourceKind = "server"
	API         ResourceKind = "api"
	CSP         ResourceKind = "csp"
	NBConvert   ResourceKind = "nbconvert"
)

// Resource is what an action is done to.
type Resource struct {
	Kind ResourceKind
	Path Path   // Contents: the file; sessions and kernels: the document, if known
	ID   string // kernel, session or terminal
	// Subtree asks about everything below Path too: a directory that is moved, copied or removed as a whole.
	Subtree bool
}
