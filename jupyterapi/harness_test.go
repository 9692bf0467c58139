package jupyterapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// The tokens of the two users of tests.
const (
	adaToken = "ada-token-0123456789"
	bobToken = "bob-token-0123456789"
)

// site is a server with a tree on a drive in memory, which is the root.
type site struct {
	*httptest.Server
	t     testing.TB
	api   *Server
	users *identity.Users
	tree  *tree.Tree
	base  string // "/" or what the test has chosen
	fakes *fakes
	logs  *logBuffer
}

// siteOptions are what tests change.
type siteOptions struct {
	policy  access.Policy
	base    string
	noRoot  bool // the root holds the drives
	options func(*Options)
	auth    func(*identity.Options)
	drive   fs.Drive
	listen  func(http.Handler) *httptest.Server // nil = httptest.NewServer
}

// logBuffer holds log lines.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newSite(t testing.TB, o siteOptions) *site {
	t.Helper()
	if o.policy == nil {
		o.policy = access.Everyone{}
	}
	if o.base == "" {
		o.base = "/"
	}
	root := "home"
	if o.noRoot {
		root = ""
	}
	tr, err := tree.New(tree.Options{Root: root, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if o.drive == nil {
		o.drive = mem.New(mem.Options{})
	}
	if err := tr.Add("home", o.drive); err != nil {
		t.Fatal(err)
	}
	users, err := identity.NewUsers(
		identity.User{Name: "ada", TokenSHA256: sha256.Sum256([]byte(adaToken)), Owner: true, DisplayName: "Ada L."},
		identity.User{Name: "bob", TokenSHA256: sha256.Sum256([]byte(bobToken))},
	)
	if err != nil {
		t.Fatal(err)
	}
	logs := &logBuffer{}
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ao := identity.Options{Users: users, StateDir: t.TempDir(), BaseURL: o.base, Logger: logger}
	if o.auth != nil {
		o.auth(&ao)
	}
	auth, err := identity.New(ao)
	if err != nil {
		t.Fatal(err)
	}
	f := newFakes()
	notary := &nbformat.Notary{Key: []byte("key"), Store: &memorySignatures{}}
	opts := Options{
		Auth:    auth,
		View:    func(p fs.Principal) *access.View { return access.New(tr, o.policy, p, fs.OriginAPI) },
		Trust:   func(fs.Principal) *nbformat.Notary { return notary },
		Kernels: f, Sessions: f.sessions(), Terminals: f.terminals(),
		Dir:     func(p fs.Path) string { return "/mnt/" + string(p) },
		APIPath: func(s string) (fs.Path, bool) { p, ok := strings.CutPrefix(s, "/mnt/"); return fs.Path(p), ok },
		BaseURL: o.base, StateDir: t.TempDir(), Logger: logger,
	}
	if o.options != nil {
		o.options(&opts)
	}
	api, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if o.listen == nil {
		o.listen = httptest.NewServer
	}
	s := &site{Server: o.listen(api.Handler()), t: t, api: api, users: users, tree: tr, base: o.base, fakes: f, logs: logs}
	t.Cleanup(func() {
		if err := api.Close(context.Background()); err != nil {
			t.Errorf("Close() = %v", err)
		}
		s.Server.Close()
		if err := tr.Close(context.Background()); err != nil {
			t.Errorf("tree.Close() = %v", err)
		}
	})
	return s
}

// view is the tree as the owner sees it.
func (s *site) view() *access.View {
	return access.New(s.tree, access.Everyone{}, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
}

// write makes a file, and the folders on the way to it.
func (s *site) write(p fs.Path, text string) {
	s.t.Helper()
	s.mkdir(p.Dir())
	if _, err := s.view().Replace(context.Background(), p, strings.NewReader(text), fs.ReplaceOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) mkdir(p fs.Path) {
	s.t.Helper()
	if p == "" {
		return
	}
	s.mkdir(p.Dir())
	if _, err := s.view().Mkdir(context.Background(), p, fs.CreateOptions{}); err != nil && fs.KindOf(err) != fs.Exist {
		s.t.Fatal(err)
	}
}

// read returns a file's contents, or "<gone>".
func (s *site) read(p fs.Path) string {
	s.t.Helper()
	h, err := s.view().Open(context.Background(), p, fs.OpenRead)
	if fs.KindOf(err) == fs.NotExist && err != nil {
		return "<gone>"
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer h.Release(context.Background()) //nolint:errcheck // nothing was written
	data, err := io.ReadAll(reader(context.Background(), h))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

// object decodes the body.
func (r reply) object(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("body %.200q is no JSON object: %v", r.body, err)
	}
	return v
}

// request sends one request; headers are "Name: value". Without an Authorization or Cookie header it carries ada's token.
func (s *site) request(method, path, body string, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body == "" {
		r.Body = http.NoBody
		r.ContentLength = 0
	}
	anonymous := false
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "anonymous":
			anonymous = true
		case name == "Host":
			r.Host = value
		default:
			r.Header.Add(name, value)
		}
	}
	if !anonymous && r.Header.Get("Authorization") == "" && r.Header.Get("Cookie") == "" {
		r.Header.Set("Authorization", "token "+adaToken)
	}
	if r.Header.Get("Accept-Encoding") == "" {
		r.Header.Set("Accept-Encoding", "identity")
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{res, string(data)}
}

// memorySignatures is a nbformat.SignatureStore.
type memorySignatures struct {
	mu  sync.Mutex // guards all
	all map[string]bool
}

func (m *memorySignatures) Has(d string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[d]
}

func (m *memorySignatures) Add(d string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]bool{}
	}
	m.all[d] = true
	return nil
}

func (m *memorySignatures) Remove(d string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, d)
	return nil
}
