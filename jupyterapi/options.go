package jupyterapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// Defaults of [Options].
const (
	DefaultMaxBody      = 512 << 20 // bytes
	DefaultPingInterval = 30 * time.Second
	DefaultPatience     = time.Minute
	DefaultUploadAge    = time.Hour
	DefaultURL          = "/lab"
	DefaultVersion      = "2.21.0+jupyter-drive"
)

// Options configure a Server. Auth and View are needed.
type Options struct {
	Auth  *identity.Authenticator             // who is calling
	View  func(fs.Principal) *access.View     // what the caller may see; the origin of its changes is fs.OriginAPI
	App   *App                                // the front end; nil = none
	Trust func(fs.Principal) *nbformat.Notary // which notebooks somebody trusts; nil, or a nil answer = none

	Kernels   Kernels   // nil = no kernels
	Sessions  Sessions  // nil = no sessions
	Terminals Terminals // nil = no terminals

	// Dir returns the absolute directory in the mount for a path of the API, "" where there is none.
	Dir func(fs.Path) string
	// APIPath is the way back: the path in the API of an absolute one in the mount.
	APIPath func(absolute string) (fs.Path, bool)

	BaseURL     string       // escaped, with slashes at both ends; "" = "/"
	DefaultURL  string       // where the base URL leads to, below it; "" = DefaultURL
	Version     string       // of Jupyter Server that is claimed at /api; "" = DefaultVersion
	StateDir    string       // an existing private folder for the settings of /api/config and uploads; "" = a temporary one
	AllowHidden bool         // names that begin with a dot are shown and may be written
	Metrics     http.Handler // answers /metrics; nil = 404
	Shutdown    func()       // ends the daemon, called once after the answer was sent; nil = 501

	MaxBody      int64         // of a request in bytes; 0 = DefaultMaxBody
	Patience     time.Duration // how long a client may take to send or to take the next piece of a body; 0 = DefaultPatience
	PingInterval time.Duration // of WebSockets; 0 = DefaultPingInterval
	UploadAge    time.Duration // how long an upload may stand still; 0 = DefaultUploadAge
	Logger       *slog.Logger  // nil = discard
}

// App is a front end: pages, static files and its own small API, all below the base URL.
type App struct {
	// Handler gets the request with the base URL taken off the path. [PrincipalOf] tells who is calling.
	Handler http.Handler
	Routes  []AppRoute
}

// AppRoute is a part of an App.
type AppRoute struct {
	Path    string   // an exact path or, when it ends with "/", everything below it
	Methods []string // HEAD is implied by GET
	Class   AppClass
}

// AppClass is how a part of an App is guarded.
type AppClass uint8

// The classes. The zero value refuses everybody.
const (
	AppPublic AppClass = iota + 1 // for everybody: scripts, styles, icons
	AppPage                       // for who has logged in; others are sent to the login page
	AppAPI                        // for who has logged in; others get 403
)

type principalKey struct{}

// PrincipalOf returns who sent the request that carries ctx, in handlers of an [App].
func PrincipalOf(ctx context.Context) (fs.Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(fs.Principal)
	return p, ok
}
