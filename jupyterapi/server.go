package jupyterapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// Server is the door. Close it when done.
type Server struct {
	opts    Options
	auth    *identity.Authenticator
	log     *slog.Logger
	base    string // escaped, with slashes at both ends
	plain   string // base without escapes
	routes  table
	started time.Time
	scratch string // the temporary folder that stands for StateDir; "" = StateDir was given

	bus     bus
	sockets sockets
	uploads uploads
	config  configStore
	places  places
	active  activity
	changes pathLocks // of files that requests change
	zippers sync.Pool // of *gzip.Writer

	stop    context.CancelFunc // ends the background work
	workers sync.WaitGroup
	once    sync.Once // of Shutdown
}

// New returns a server. It starts a goroutine that ends with Close.
func New(o Options) (*Server, error) {
	if o.Auth == nil || o.View == nil {
		return nil, &fs.Error{Op: "jupyterapi", Kind: fs.Invalid, Err: errors.New("options Auth and View must be given")}
	}
	o.setDefaults()
	s := &Server{opts: o, auth: o.Auth, log: o.Logger, started: time.Now(), base: o.BaseURL}
	plain, err := url.PathUnescape(o.BaseURL)
	if err != nil || !strings.HasPrefix(plain, "/") || !strings.HasSuffix(plain, "/") {
		return nil, &fs.Error{Op: "jupyterapi", Path: o.BaseURL, Kind: fs.Invalid, Err: errors.New("a base URL begins and ends with a slash")}
	}
	s.plain = plain
	s.zippers.New = func() any { return newZipper() }
	state := o.StateDir
	if state == "" {
		if state, err = os.MkdirTemp("", "jupyter-drive-api-"); err != nil {
			return nil, fs.Wrap("jupyterapi", "", err)
		}
		s.scratch = state
	}
	s.config = configStore{dir: state}
	if err := s.uploads.init(state, o.UploadAge); err != nil {
		return nil, errors.Join(err, s.removeScratch())
	}
	s.active.touch()
	s.routes = s.table()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.workers.Go(func() { s.housekeep(ctx) })
	return s, nil
}

func (o *Options) setDefaults() {
	if o.BaseURL == "" {
		o.BaseURL = "/"
	}
	if o.DefaultURL == "" {
		o.DefaultURL = DefaultURL
	}
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.PingInterval == 0 {
		o.PingInterval = DefaultPingInterval
	}
	if o.UploadAge == 0 {
		o.UploadAge = DefaultUploadAge
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dir == nil {
		o.Dir = func(fs.Path) string { return "" }
	}
	if o.APIPath == nil {
		o.APIPath = func(string) (fs.Path, bool) { return "", false }
	}
}

// housekeep ends what has expired: uploads that stand still, and the connections of users who are gone.
func (s *Server) housekeep(ctx context.Context) {
	tick := time.NewTicker(max(s.opts.UploadAge/4, time.Second))
	defer tick.Stop()
	for {
		changed := s.auth.Changed()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.uploads.collect(time.Now())
		case <-changed:
			if err := s.auth.Prune(); err != nil {
				s.log.Error("the sessions of a removed user have ended, but their file could not be written", "err", err)
			}
			s.sockets.closeInvalid(s.auth.Valid)
		}
	}
}

// Handler returns what answers requests.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Close ends all WebSockets and the background work, and drops uploads that are not complete. ctx bounds the wait.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	err := s.sockets.close(ctx)
	s.workers.Wait()
	s.uploads.close()
	return errors.Join(err, s.removeScratch())
}

func (s *Server) removeScratch() error {
	if s.scratch == "" {
		return nil
	}
	return os.RemoveAll(s.scratch)
}

// activity is when somebody last did something.
type activity struct {
	mu   sync.Mutex // guards last
	last time.Time
}

func (a *activity) touch() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = time.Now()
}

func (a *activity) time() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}
