package jupyterapi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	get    = http.MethodGet
	put    = http.MethodPut
	post   = http.MethodPost
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// table returns all routes. The first that matches a path is taken, so what is special stands first.
func (s *Server) table() table {
	t := table{}
	t = append(t, s.contentsRoutes()...)
	t = append(t, s.kernelRoutes()...)
	t = append(t, s.otherRoutes()...)
	t = append(t, s.pageRoutes()...)
	return append(t, s.appRoutes()...)
}

func (s *Server) contentsRoutes() table {
	read, write := right(fs.Read, fs.Contents), right(fs.Write, fs.Contents)
	return table{
		newRoute(apiStyle, "/api/contents{path}/checkpoints", methods{
			get:  {need: read, serve: listCheckpoints},
			post: {need: write, serve: createCheckpoint},
		}),
		newRoute(apiStyle, "/api/contents{path}/checkpoints/{checkpoint}", methods{
			post:   {need: write, serve: restoreCheckpoint},
			remove: {need: write, serve: deleteCheckpoint},
		}),
		newRoute(apiStyle, "/api/contents{path}/trust", methods{post: {need: write, serve: trustNotebook}}),
		newRoute(apiStyle, "/api/contents{path}", methods{
			get:    {need: read, serve: getContents},
			put:    {need: write, serve: putContents},
			post:   {need: write, serve: postContents},
			patch:  {need: write, serve: patchContents},
			remove: {need: write, serve: deleteContents},
		}),
		newRoute(pageStyle, "/files{path}", methods{get: {need: read, serve: getFiles}}),
		newRoute(pageStyle, "/view{path}", methods{get: {need: read, serve: getView}}),
		newRoute(apiStyle, "/api/nbconvert", methods{get: {need: right(fs.Read, fs.NBConvert), serve: listNbconvert}}),
		newRoute(pageStyle, "/nbconvert/{format}", methods{post: {need: right(fs.Write, fs.NBConvert), serve: nbconvert}}),
		newRoute(pageStyle, "/nbconvert/{format}{path}", methods{get: {need: right(fs.Read, fs.NBConvert), serve: nbconvert}}),
		newRoute(apiStyle, "/api/notebooks{rest}", methods{
			get:  {need: public(), serve: redirectNotebooks},
			put:  {need: public(), serve: redirectNotebooks},
			post: {need: public(), serve: redirectNotebooks}, patch: {need: public(), serve: redirectNotebooks},
			remove: {need: public(), serve: redirectNotebooks},
		}),
	}
}

func (s *Server) kernelRoutes() table {
	kernels, sessions, terminals := s.opts.Kernels != nil, s.opts.Sessions != nil && s.opts.Kernels != nil, s.opts.Terminals != nil
	on := func(there bool, a fs.Action, k fs.ResourceKind, h handler) endpoint {
		return endpoint{need: right(a, k), serve: engine(there, h)}
	}
	return table{
		newRoute(apiStyle, "/api/kernels", methods{
			get:  on(kernels, fs.Read, fs.Kernels, listKernels),
			post: on(kernels, fs.Write, fs.Kernels, startKernel),
		}),
		newRoute(apiStyle, "/api/kernels/{kernel}", methods{
			get:    on(kernels, fs.Read, fs.Kernels, getKernel),
			remove: on(kernels, fs.Write, fs.Kernels, deleteKernel),
		}),
		newRoute(apiStyle, "/api/kernels/{kernel}/interrupt", methods{post: on(kernels, fs.Write, fs.Kernels, interruptKernel)}),
		newRoute(apiStyle, "/api/kernels/{kernel}/restart", methods{post: on(kernels, fs.Write, fs.Kernels, restartKernel)}),
		newRoute(socketStyle, "/api/kernels/{kernel}/channels", methods{get: on(kernels, fs.Execute, fs.Kernels, openChannels)}),
		newRoute(apiStyle, "/api/sessions", methods{
			get:  on(sessions, fs.Read, fs.Sessions, listSessions),
			post: on(sessions, fs.Write, fs.Sessions, startSession),
		}),
		newRoute(apiStyle, "/api/sessions/{session}", methods{
			get:    on(sessions, fs.Read, fs.Sessions, getSession),
			patch:  on(sessions, fs.Write, fs.Sessions, patchSession),
			remove: on(sessions, fs.Write, fs.Sessions, deleteSession),
		}),
		newRoute(apiStyle, "/api/kernelspecs", methods{get: on(kernels, fs.Read, fs.Kernelspecs, listSpecs)}),
		newRoute(apiStyle, "/api/kernelspecs/{spec}", methods{get: on(kernels, fs.Read, fs.Kernelspecs, getSpec)}),
		newRoute(apiStyle, "/kernelspecs/{spec}/{file}", methods{get: on(kernels, fs.Read, fs.Kernelspecs, getSpecFile)}),
		newRoute(apiStyle, "/api/terminals", methods{
			get:  on(terminals, fs.Read, fs.Terminals, listTerminals),
			post: on(terminals, fs.Write, fs.Terminals, startTerminal),
		}),
		newRoute(apiStyle, "/api/terminals/{terminal}", methods{
			get:    on(terminals, fs.Read, fs.Terminals, getTerminal),
			remove: on(terminals, fs.Write, fs.Terminals, deleteTerminal),
		}),
		newRoute(socketStyle, "/terminals/websocket/{terminal}", methods{get: on(terminals, fs.Execute, fs.Terminals, openTerminal)}),
	}
}

func (s *Server) otherRoutes() table {
	metrics := func(c *call) error {
		if s.opts.Metrics == nil {
			return failed(http.StatusNotFound, "Not Found")
		}
		s.opts.Metrics.ServeHTTP(c.w, c.r)
		return nil
	}
	return table{
		newRoute(apiStyle, "/api", methods{get: {need: public(), serve: getVersion}}),
		newRoute(apiStyle, "/api/spec.yaml", methods{get: {need: right(fs.Read, fs.API), serve: getSpecification}}),
		newRoute(apiStyle, "/api/status", methods{get: {need: right(fs.Read, fs.API), serve: getStatus}}),
		newRoute(apiStyle, "/api/resolvePath", methods{get: {need: right(fs.Read, fs.API), serve: resolvePath}}),
		newRoute(apiStyle, "/api/me", methods{get: {need: anyone(), serve: getMe}, patch: {need: anyone(), serve: patchMe}}),
		newRoute(apiStyle, "/api/config/{section}", methods{
			get:   {need: right(fs.Read, fs.Config), serve: getConfig},
			put:   {need: right(fs.Write, fs.Config), serve: putConfig},
			patch: {need: right(fs.Write, fs.Config), serve: patchConfig},
		}),
		newRoute(apiStyle, "/api/events", methods{post: {need: right(fs.Write, fs.Events), serve: postEvent}}),
		newRoute(socketStyle, "/api/events/subscribe", methods{get: {need: right(fs.Execute, fs.Events), serve: openEvents}}),
		newRoute(apiStyle, "/api/security/csp-report", methods{post: {need: right(fs.Write, fs.CSP), serve: reportCSP, unchecked: true}}),
		newRoute(apiStyle, "/api/shutdown", methods{post: {need: right(fs.Admin, fs.Server), serve: shutDown}}),
		newRoute(apiStyle, "/metrics", methods{get: {need: right(fs.Read, fs.Server), serve: metrics}}),
	}
}

func (s *Server) pageRoutes() table {
	page := right(fs.Read, fs.API)
	return table{
		newRoute(pageStyle, "/", methods{get: {need: public(), serve: getRoot}}),
		newRoute(pageStyle, "/tree{path}", methods{get: {need: page, serve: getTree}}),
		newRoute(pageStyle, "/login", methods{get: {need: public(), serve: getLogin}, post: {need: public(), serve: postLogin}}),
		newRoute(pageStyle, "/logout", methods{get: {need: public(), serve: getLogout}}),
		newRoute(pageStyle, "/robots.txt", methods{get: {need: public(), serve: getRobots}}),
	}
}

// appRoutes are those of the front end.
func (s *Server) appRoutes() table {
	if s.opts.App == nil {
		return nil
	}
	var t table
	for _, part := range s.opts.App.Routes {
		pattern := part.Path
		if strings.HasSuffix(pattern, "/") {
			pattern += "{rest}"
		}
		m := methods{}
		for _, method := range part.Methods {
			m[method] = endpoint{need: appNeed(part.Class, method), serve: s.serveApp(part.Class)}
		}
		t = append(t, newRoute(appStyleOf(part.Class), pattern, m))
	}
	return t
}

// appNeed returns what a part of the front end needs. Its API keeps settings.
func appNeed(class AppClass, method string) need {
	switch {
	case class == AppPublic:
		return public()
	case class == AppPage:
		return right(fs.Read, fs.API)
	case class == AppAPI && (method == http.MethodGet || method == http.MethodHead):
		return right(fs.Read, fs.Config)
	case class == AppAPI:
		return right(fs.Write, fs.Config)
	}
	return need{}
}

func appStyleOf(class AppClass) style {
	if class == AppAPI {
		return apiStyle
	}
	return pageStyle
}

// serveApp hands the request to the front end, with the base URL taken off its path.
func (s *Server) serveApp(class AppClass) handler {
	return func(c *call) error {
		if class == AppPage {
			if err := s.enter(c, withoutToken(c.r.URL)); err != nil {
				return err
			}
			s.auth.EnsureXSRF(c.w, c.r)
		}
		r := c.r.Clone(c.ctx())
		r.URL.Path = "/" + strings.TrimPrefix(c.r.URL.Path, s.plain)
		r.URL.RawPath = ""
		if raw, ok := strings.CutPrefix(c.r.URL.EscapedPath(), s.base); ok && c.r.URL.RawPath != "" {
			if plain, err := url.PathUnescape("/" + raw); err == nil && plain == r.URL.Path {
				r.URL.RawPath = "/" + raw
			}
		}
		s.opts.App.Handler.ServeHTTP(c.w, r)
		return nil
	}
}
