package jupyterapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// denySecret lets everybody do everything but below the folder "secret".
type denySecret struct{ access.Everyone }

func (denySecret) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	if r.Path.Within("secret") || r.Subtree && fs.Path("secret").Within(r.Path) {
		return &fs.Error{Op: string(a), Path: string(r.Path), Kind: fs.Permission}
	}
	return nil
}

// denyAll lets nobody do anything.
type denyAll struct{ access.Everyone }

func (denyAll) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	return &fs.Error{Op: string(a), Path: string(r.Path), Kind: fs.Permission}
}

// walkBodies are the requests of the walk besides the plain one: @ stands for the folder. A body that names the folder makes the
// request about it, whatever the route.
var walkBodies = map[string][]string{
	"PUT /api/contents{path}":            {`{"type":"file","format":"text","content":"x"}`, `{"type":"file","format":"text","content":"x","chunk":1}`},
	"PATCH /api/contents{path}":          {`{"path":"@/moved.txt"}`},
	"POST /api/contents{path}":           {`{"type":"file"}`, `{"copy_from":"@/x.txt"}`, `{"copy_from":"@"}`},
	"POST /api/kernels":                  {`{"path":"@/x.txt"}`, `{"env":{"KERNEL_WORKING_DIR":"/mnt/@"}}`},
	"POST /api/sessions":                 {`{"path":"@/new.ipynb","type":"notebook"}`},
	"PATCH /api/sessions/{session}":      {`{"path":"@/y.ipynb"}`, `{"kernel":{"name":"other"}}`},
	"POST /api/terminals":                {`{"cwd":"@"}`},
	"POST /api/events":                   nil,
	"PUT /api/config/{section}":          nil,
	"PATCH /api/config/{section}":        nil,
	"POST /api/security/csp-report":      nil,
	"POST /api/shutdown":                 nil,
	"POST /nbconvert/{format}":           nil,
	"POST /api/contents{path}/trust":     {""},
	"PATCH /api/me":                      nil,
	"POST /login":                        nil,
	"PUT /api/notebooks{rest}":           nil,
	"POST /api/notebooks{rest}":          nil,
	"PATCH /api/notebooks{rest}":         nil,
	"DELETE /api/notebooks{rest}":        nil,
	"GET /api/notebooks{rest}":           nil,
	"GET /api":                           nil,
	"GET /api/spec.yaml":                 nil,
	"GET /api/status":                    nil,
	"GET /api/resolvePath":               nil, // answers 200: TestListsHideDenied
	"GET /api/me":                        nil,
	"GET /api/config/{section}":          nil,
	"GET /api/events/subscribe":          nil, // filters: TestEventsHideDenied
	"GET /api/kernels":                   nil, // filters: TestListsHideDenied
	"GET /api/sessions":                  nil,
	"GET /api/terminals":                 nil,
	"GET /api/kernelspecs":               nil,
	"GET /api/kernelspecs/{spec}":        nil,
	"GET /kernelspecs/{spec}/{file}":     nil,
	"GET /api/nbconvert":                 nil,
	"GET /nbconvert/{format}{path}":      nil, // 404 always
	"GET /metrics":                       nil,
	"GET /":                              nil,
	"GET /tree{path}":                    nil, // a redirect that reads nothing
	"GET /login":                         nil,
	"GET /logout":                        nil,
	"GET /robots.txt":                    nil,
	"POST /api/kernels/{kernel}/restart": {""},
}

// walkRequest is one request of the walk; NAMES stand for what a site has made.
type walkRequest struct{ method, pattern, body string }

// walkRequests makes the requests from the router's own table. A route that is not about files must be named above with nil; one
// that is new and not named is walked, and fails if it does not refuse.
func walkRequests(t *testing.T) []walkRequest {
	t.Helper()
	var list []walkRequest
	for _, r := range newSite(t, siteOptions{}).api.routes {
		for _, method := range sortedMethods(r.methods) {
			bodies, named := walkBodies[method+" "+r.pattern]
			if !named {
				bodies = []string{""}
			}
			for _, body := range bodies {
				list = append(list, walkRequest{method, r.pattern, body})
			}
		}
	}
	return list
}

// walk sends a request about the folder dir to a new site with that policy and returns the status.
func walk(t *testing.T, policy access.Policy, w walkRequest, dir string) (int, string) {
	t.Helper()
	// What is there is made by the owner, to whom the policy does not apply yet.
	p := newSwitchedPolicy()
	s := newSite(t, siteOptions{policy: p})
	s.write(fs.Path(dir+"/x.txt"), "treasure")
	s.write(fs.Path(dir+"/.ipynb_checkpoints/x-checkpoint.txt"), "treasure")
	s.write("elsewhere.txt", "x")
	session := s.request(post, "/api/sessions", `{"path":"`+dir+`/x.txt","type":"notebook"}`).object(t)["id"].(string)
	expectStatus(t, s.request(post, "/api/terminals", `{"cwd":"`+dir+`"}`), 200)
	file := "/" + dir + "/x.txt"
	if w.method == post && w.pattern == "/api/contents{path}" {
		file = ""
		if w.body == `{"type":"file"}` {
			file = "/" + dir
		}
	}
	if strings.HasSuffix(w.pattern, "trust") {
		s.write(fs.Path(dir+"/x.txt"), emptyNotebook)
	}
	kernel := s.started(dir)
	p.set(policy)
	url := strings.NewReplacer("{path}", file, "{checkpoint}", "checkpoint", "{kernel}", kernel, "{session}", session,
		"{terminal}", "1", "{format}", "html").Replace(w.pattern)
	if strings.HasSuffix(w.pattern, "/channels") || strings.HasPrefix(w.pattern, "/terminals/websocket") {
		_, status := s.dial(url+asAda, nil, wire.Subprotocol)
		return status, ""
	}
	r := s.request(w.method, url, strings.ReplaceAll(w.body, "@", dir))
	return r.StatusCode, r.body
}

// switchedPolicy is a policy that a test changes: Everyone, until then.
type switchedPolicy struct{ now atomic.Value }

func newSwitchedPolicy() *switchedPolicy {
	p := &switchedPolicy{}
	p.set(access.Everyone{})
	return p
}

// set makes another policy the valid one.
func (p *switchedPolicy) set(to access.Policy) { p.now.Store(&to) }

func (p *switchedPolicy) Allowed(ctx context.Context, who fs.Principal, a fs.Action, r fs.Resource) error {
	return (*p.now.Load().(*access.Policy)).Allowed(ctx, who, a, r)
}

func (p *switchedPolicy) Epoch() uint64 { return 0 }

func TestPolicyWalk(t *testing.T) {
	t.Parallel()
	refused := []int{http.StatusForbidden, http.StatusNotFound}
	walked := 0
	for _, w := range walkRequests(t) {
		walked++
		t.Run(w.method+" "+w.pattern+" "+w.body, func(t *testing.T) {
			t.Parallel()
			status, body := walk(t, denySecret{}, w, "secret")
			if !slices.Contains(refused, status) || strings.Contains(body, "treasure") {
				t.Errorf("in the denied folder = %d %s, want 403 or 404", status, body)
			}
			if status, body := walk(t, denySecret{}, w, "open"); status >= 400 {
				t.Errorf("in the folder beside = %d %s, want success", status, body)
			}
			// Without the check the same request succeeds: the refusal above is the policy's.
			if status, body := walk(t, access.Everyone{}, w, "secret"); status >= 400 {
				t.Errorf("without the policy = %d %s, want success", status, body)
			}
		})
	}
	if walked < 30 {
		t.Errorf("walked %d requests, want all that are about files", walked)
	}
}

func TestDenyAll(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{policy: denyAll{}, options: func(o *Options) { o.App = testApp() }})
	for _, r := range s.api.routes {
		for _, method := range sortedMethods(r.methods) {
			if level := r.methods[method].need.level; level == everybody || level == signedIn {
				continue
			}
			res := s.request(method, concrete(r), "")
			if res.StatusCode != 403 && res.StatusCode != 404 {
				t.Errorf("%s %s = %d %s, want 403", method, r.pattern, res.StatusCode, res.body)
			}
		}
	}
}

// concrete returns a path that the route matches.
func concrete(r *route) string {
	return strings.NewReplacer("{path}", "/a.txt", "{checkpoint}", "checkpoint", "{kernel}", unknownID, "{session}", unknownID,
		"{terminal}", "1", "{format}", "html", "{section}", "x", "{spec}", "python3", "{file}", "logo-64x64.png", "{rest}", "x").Replace(r.pattern)
}

// publicRoutes are all that answer without a login.
var publicRoutes = []string{
	"DELETE /api/notebooks{rest}", "GET /", "GET /api", "GET /api/notebooks{rest}", "GET /login", "GET /logout", "GET /robots.txt",
	"GET /static/{rest}", "PATCH /api/notebooks{rest}", "POST /api/notebooks{rest}", "POST /login", "PUT /api/notebooks{rest}",
}

func TestAnonymousWalk(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{options: func(o *Options) { o.App = testApp() }})
	s.write("a.txt", "treasure")
	open := map[string]bool{}
	for _, r := range s.api.routes {
		for _, method := range sortedMethods(r.methods) {
			name := method + " " + r.pattern
			if r.methods[method].need.level == everybody {
				open[name] = true
				continue
			}
			headers := []string{"anonymous:"}
			if r.style == socketStyle {
				headers = append(headers, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==")
			}
			res := s.request(method, concrete(r), "{}", headers...)
			want := 403
			if r.style == pageStyle && method == get && r.methods[method].need.level != refuseAll {
				want = 302
			}
			if res.StatusCode != want || strings.Contains(res.body, "treasure") {
				t.Errorf("%s without a login = %d %s, want %d", name, res.StatusCode, res.body, want)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(open)); !slices.Equal(got, publicRoutes) {
		t.Errorf("public routes = %q, want %q", got, publicRoutes)
	}
}

func TestListsHideDenied(t *testing.T) {
	t.Parallel()
	p := newSwitchedPolicy()
	s := newSite(t, siteOptions{policy: p})
	for _, dir := range []string{"secret", "open"} {
		s.write(fs.Path(dir+"/x.txt"), "x")
		expectStatus(t, s.request(post, "/api/sessions", `{"path":"`+dir+`/x.txt","type":"file","name":"`+dir+`"}`), 201)
		expectStatus(t, s.request(post, "/api/terminals", `{"cwd":"`+dir+`","name":"`+dir+`"}`), 200)
	}
	p.set(denySecret{})
	for _, path := range []string{"/api/contents", "/api/sessions", "/api/terminals", "/api/kernels", "/api/resolvePath?path=secret/x.txt"} {
		r := s.request(get, path, "")
		expectStatus(t, r, 200)
		if strings.Contains(r.body, "secret") {
			t.Errorf("GET %s = %s, want nothing of the denied folder", path, r.body)
		}
	}
	if r := s.request(get, "/api/kernels", ""); strings.Count(r.body, `"id"`) != 1 {
		t.Errorf("GET /api/kernels = %s, want the one kernel of the folder beside", r.body)
	}
}

func TestEventsHideDenied(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{policy: denySecret{}})
	conn, _ := s.dial("/api/events/subscribe"+asAda, nil)
	s.untilHeard(conn)
	s.mkdir("secret")
	s.api.publishContents("save", "secret/x.txt", "")
	s.api.publishContents("rename", "secret/y.txt", "secret/x.txt")
	s.api.publishContents("copy", "open.txt", "secret/x.txt")
	s.api.publishContents("rename", "came.txt", "secret/x.txt")
	s.api.publishContents("rename", "secret/x.txt", "went.txt")
	s.api.bus.publish(rescanEvent("secret/sub", time.Now()))
	s.api.publishContents("save", "open.txt", "")
	for _, want := range [][2]string{{"create", "came.txt"}, {"delete", "went.txt"}, {"save", "open.txt"}} {
		var m map[string]any
		err := conn.ReadJSON(&m)
		if _, source := m["source_path"]; err != nil || m["action"] != want[0] || m["path"] != want[1] || source {
			t.Errorf("event = %v, %v, want %s without a source", m, err, want)
		}
	}
}

// TestMovesAcrossDenied proves the same for moves that do not come through the API.
func TestMovesAcrossDenied(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{policy: denySecret{}})
	s.mkdir("secret")
	s.write("secret/x.txt", "treasure")
	s.write("y.txt", "")
	conn, _ := s.dial("/api/events/subscribe"+asAda, nil)
	s.untilHeard(conn)
	ctx := fs.WithCause(context.Background(), fs.Cause{Origin: fs.OriginMount})
	for _, move := range [][2]fs.Path{{"secret/x.txt", "came.txt"}, {"y.txt", "secret/y.txt"}} {
		if err := s.tree.RenamePath(ctx, move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range [][2]string{{"create", "came.txt"}, {"delete", "y.txt"}} {
		var m map[string]any
		if err := conn.ReadJSON(&m); err != nil || m["action"] != want[0] || m["path"] != want[1] || strings.Contains(fmt.Sprint(m), "secret") {
			t.Errorf("event = %v, %v, want %s", m, err, want)
		}
	}
}

// TestCrossing asks for the denied folder from the allowed one beside it.
func TestCrossing(t *testing.T) {
	t.Parallel()
	p := newSwitchedPolicy()
	s := newSite(t, siteOptions{policy: p})
	s.write("open/x.txt", "x")
	s.write("secret/x.txt", "treasure")
	s.symlink("link", "secret/x.txt")
	session := s.request(post, "/api/sessions", `{"path":"open/x.txt","type":"file"}`).object(t)["id"].(string)
	kernel := s.started("secret")
	p.set(denySecret{})
	for _, tt := range []struct{ method, path, body string }{
		{patch, "/api/contents/open/x.txt", `{"path":"secret/y.txt"}`},
		{post, "/api/contents/open", `{"copy_from":"secret/x.txt"}`},
		{post, "/api/contents/open", `{"copy_from":"secret"}`},
		{patch, "/api/sessions/" + session, `{"path":"secret/y.txt"}`},
		{patch, "/api/sessions/" + session, `{"kernel":{"id":"` + kernel + `"}}`},
		{post, "/api/sessions", `{"path":"open/n.ipynb","type":"notebook","kernel":{"id":"` + kernel + `"}}`},
		{post, "/api/terminals", `{"cwd":"/mnt/secret"}`},
		{get, "/api/contents/link", ""},
		{get, "/files/link", ""},
		{put, "/api/contents/link", `{"type":"file","format":"text","content":"x"}`},
	} {
		if r := s.request(tt.method, tt.path, tt.body); r.StatusCode != 403 && r.StatusCode != 404 || strings.Contains(r.body, "treasure") {
			t.Errorf("%s %s %s = %d %s, want 403 or 404", tt.method, tt.path, tt.body, r.StatusCode, r.body)
		}
	}
	if got := s.read("secret/x.txt"); got != "treasure" {
		t.Errorf("secret/x.txt = %q", got)
	}
}

// TestRevocationReachesOpenSockets takes a right away while sockets are open.
func TestRevocationReachesOpenSockets(t *testing.T) {
	t.Parallel()
	p := newSwitchedPolicy()
	s := newSite(t, siteOptions{policy: p})
	s.mkdir("secret")
	expectStatus(t, s.request(post, "/api/terminals", `{"cwd":"secret"}`), 200)
	kernel, _ := s.dial("/api/kernels/"+s.started("secret")+"/channels"+asAda, nil)
	shell, _ := s.dial("/terminals/websocket/1"+asAda, nil)
	if _, _, err := shell.ReadMessage(); err != nil { // the greeting
		t.Fatal(err)
	}
	frame := []byte(`{"channel":"shell","header":{"msg_id":"1","msg_type":"execute_request"},"parent_header":{},"metadata":{},"content":{}}`)
	s.exchange(t, kernel, websocket.TextMessage, frame)
	if _, _, err := kernel.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	p.set(denySecret{})
	if err := kernel.WriteMessage(websocket.TextMessage, frame); err != nil {
		t.Fatal(err)
	}
	s.fakes.say(wire.Message{Channel: wire.IOPub, Header: []byte(`{}`), ParentHeader: []byte(`{}`), Metadata: []byte(`{}`), Content: []byte(`{"late":1}`)})
	if _, text, err := kernel.ReadMessage(); err == nil {
		t.Errorf("the kernel's socket still says %s", text)
	}
	if len(s.fakes.sent) != 0 {
		t.Error("a message reached the kernel after the right was taken away")
	}
	if err := shell.WriteMessage(websocket.TextMessage, []byte(`["stdin","x"]`)); err != nil {
		t.Fatal(err)
	}
	s.fakes.print("late")
	if _, text, err := shell.ReadMessage(); err == nil {
		t.Errorf("the terminal's socket still says %s", text)
	}
}

// denyStop lets everybody run code, but end no kernel.
type denyStop struct{ access.Everyone }

func (denyStop) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	if r.Kind == fs.Kernels && r.ID != "" && a == fs.Write {
		return &fs.Error{Op: string(a), Kind: fs.Permission}
	}
	return nil
}

// TestMessagesNeedTheirOwnRight sends what only some may send over a socket that they may open.
func TestMessagesNeedTheirOwnRight(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{policy: denyStop{}})
	id := s.started("")
	expect(t, s.request(remove, "/api/kernels/"+id, ""), 403, "User is not authorized to write on resource: kernels.")
	conn, _ := s.dial("/api/kernels/"+id+"/channels"+asAda, nil)
	for _, kind := range []string{"shutdown_request", "execute_request"} {
		frame := `{"channel":"shell","header":{"msg_id":"1","msg_type":"` + kind + `"},"parent_header":{},"metadata":{},"content":{}}`
		if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case m := <-s.fakes.sent:
		if header, err := m.DecodeHeader(); err != nil || header.MsgType != "execute_request" {
			t.Errorf("the kernel got %q, %v, want the execute_request alone", header.MsgType, err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the kernel got nothing")
	}
}
