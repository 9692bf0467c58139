package jupyterapi

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// need is what a caller must have for a request to be answered. The zero need refuses everybody, so that a route whose need was
// forgotten answers nobody.
type need struct {
	level  level
	action fs.Action
	kind   fs.ResourceKind
}

type level uint8

const (
	refuseAll level = iota
	everybody
	signedIn
	authorized
)

// public is the need of what anybody may have.
func public() need { return need{level: everybody} }

// anyone is the need of what everybody who has logged in may have about himself.
func anyone() need { return need{level: signedIn} }

// right is the need of an action on a kind of resource.
func right(a fs.Action, k fs.ResourceKind) need {
	return need{level: authorized, action: a, kind: k}
}

// style is how a route answers those it does not serve.
type style uint8

const (
	apiStyle    style = iota // JSON, 403
	pageStyle                // HTML, to the login page
	socketStyle              // a WebSocket: JSON, 403, and never a foreign origin
)

// handler answers one request. What it returns is turned into an answer, unless one has been begun.
type handler func(*call) error

// endpoint is a method of a route.
type endpoint struct {
	need  need
	serve handler
	// unchecked leaves out the checks of origin and XSRF value: for what a browser sends by itself.
	unchecked bool
}

// methods is what a route answers. OPTIONS is answered for all, HEAD where GET is.
type methods map[string]endpoint

// route is a row of the router's table.
type route struct {
	pattern string // as in the documentation: literal text and {variables}
	style   style
	methods methods

	prefix string // the literal text before the first variable
	match  *regexp.Regexp
	names  []string
}

// variables are the forms of the variables in patterns.
var variables = map[string]string{
	"path":       `((?:/[^/]+)+|/?)`, // of a file, with its leading slash
	"checkpoint": `([\w-]+)`,
	"kernel":     `(\w+-\w+-\w+-\w+-\w+)`,
	"session":    `(\w+-\w+-\w+-\w+-\w+)`,
	"spec":       `([\w.\-%]+)`,
	"terminal":   `(\w+)`,
	"section":    `(\w+)`,
	"format":     `(\w+)`,
	"file":       `(.+)`,
	"rest":       `(.*)`,
}

var variable = regexp.MustCompile(`\{(\w+)\}`)

// newRoute compiles a pattern.
func newRoute(s style, pattern string, m methods) *route {
	r := &route{pattern: pattern, style: s, methods: m}
	re, last := strings.Builder{}, 0
	for _, at := range variable.FindAllStringSubmatchIndex(pattern, -1) {
		name := pattern[at[2]:at[3]]
		re.WriteString(regexp.QuoteMeta(pattern[last:at[0]]) + variables[name])
		if r.names == nil {
			r.prefix = pattern[:at[0]]
		}
		r.names = append(r.names, name)
		last = at[1]
	}
	if r.names == nil {
		r.prefix = pattern
	}
	re.WriteString(regexp.QuoteMeta(pattern[last:]))
	r.match = regexp.MustCompile(`^(?s:` + re.String() + `)$`)
	return r
}

// find returns the variables of path if the route is for it.
func (r *route) find(path string) (map[string]string, bool) {
	if !strings.HasPrefix(path, r.prefix) {
		return nil, false
	}
	if r.names == nil {
		return nil, path == r.prefix
	}
	groups := r.match.FindStringSubmatch(path)
	if groups == nil {
		return nil, false
	}
	vars := make(map[string]string, len(r.names))
	for i, name := range r.names {
		vars[name] = groups[i+1]
	}
	return vars, true
}

// endpoint returns what answers a method.
func (r *route) endpoint(method string) (endpoint, bool) {
	e, ok := r.methods[method]
	if !ok && method == http.MethodHead {
		e, ok = r.methods[http.MethodGet]
	}
	return e, ok
}

// allow lists the methods for the header Allow.
func (r *route) allow() string {
	names := []string{http.MethodOptions}
	for name := range r.methods {
		names = append(names, name)
		if name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// table is the list of routes; the first that matches is taken.
type table []*route

func (t table) find(path string) (*route, map[string]string) {
	for _, r := range t {
		if vars, ok := r.find(path); ok {
			return r, vars
		}
	}
	return nil, nil
}
