package jupyterapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

const unknownID = "11111111-1111-1111-1111-111111111111"

// started starts a kernel for a path and returns its id.
func (s *site) started(path string) string {
	s.t.Helper()
	r := s.request(post, "/api/kernels", `{"path":"`+path+`"}`)
	if r.StatusCode != 201 {
		s.t.Fatalf("POST /api/kernels = %d %s", r.StatusCode, r.body)
	}
	return r.object(s.t)["id"].(string)
}

func TestKernels(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/b/"})
	s.write("sub/n.ipynb", "")
	expect(t, s.request(get, "/b/api/kernels", ""), 200, "[]")
	r := s.request(post, "/b/api/kernels", `{"name":"python3","path":"sub/n.ipynb","env":{"KERNEL_X":"1","LD_PRELOAD":"x","KERNEL_USERNAME":"eve"}}`)
	expect(t, r, 201, `"name":"python3","last_activity":"2001-09-09T01:46:40.000000Z","execution_state":"starting","connections":0}`)
	id := r.object(t)["id"].(string)
	if got, want := r.Header.Get("Location"), "/b/api/kernels/"+id; got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
	start := s.fakes.starts[0]
	if start.Dir != "/mnt/sub" || start.Owner != "local:ada" || len(start.Env) != 1 || start.Env["KERNEL_X"] != "1" {
		t.Errorf("started with %+v, want the folder of the notebook, the owner and KERNEL_X only", start)
	}
	expect(t, s.request(post, "/b/api/kernels", ""), 201, `"name":"python3"`)
	expect(t, s.request(post, "/b/api/kernels", `{"kernel_id":"`+unknownID+`"}`), 201, unknownID)
	expect(t, s.request(post, "/b/api/kernels", `{"kernel_id":"`+unknownID+`"}`), 409, "")
	expect(t, s.request(post, "/b/api/kernels", `{"kernel_id":"../x"}`), 400, "")
	expect(t, s.request(post, "/b/api/kernels", `{"name":"nope"}`), 501, "No such kernel: nope")
	expect(t, s.request(post, "/b/api/kernels", `{"name":1}`), 400, "")
	expect(t, s.request(get, "/b/api/kernels/"+id, ""), 200, id)
	expect(t, s.request(post, "/b/api/kernels/"+id+"/interrupt", ""), 204, "")
	expect(t, s.request(post, "/b/api/kernels/"+id+"/restart", ""), 200, id)
	expect(t, s.request(remove, "/b/api/kernels/"+id, ""), 204, "")
	for _, tt := range []struct{ method, path string }{{get, ""}, {remove, ""}, {post, "/interrupt"}, {post, "/restart"}} {
		expect(t, s.request(tt.method, "/b/api/kernels/"+id+tt.path, ""), 404, "Kernel does not exist: "+id)
	}
	expect(t, s.request(get, "/b/api/kernels/nope", ""), 404, "")
}

func TestKernelspecs(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/b/"})
	expect(t, s.request(get, "/b/api/kernelspecs", ""), 200, `{"default":"python3","kernelspecs":{"python3":{"name":"python3","spec":{"argv":["python3"]`)
	expect(t, s.request(get, "/b/api/kernelspecs/Python3", ""), 200, `"resources":{"logo-64x64":"/b/kernelspecs/python3/logo-64x64.png"}`)
	expect(t, s.request(get, "/b/api/kernelspecs/nope", ""), 404, "Kernel spec nope not found")
	r := s.request(get, "/b/kernelspecs/python3/logo-64x64.png", "")
	expect(t, r, 200, "PNG")
	if got := r.Header.Get("Cache-Control"); got != "max-age=2592000" {
		t.Errorf("Cache-Control = %q", got)
	}
	if r := s.request(get, "/b/kernelspecs/python3/resource.txt", ""); r.StatusCode != 200 || r.body != "beside" || r.Header.Get("Content-Type") != "text/plain; charset=UTF-8" {
		t.Errorf("GET of a file beside the spec = %d %q %v", r.StatusCode, r.body, r.Header)
	}
	expect(t, s.request(get, "/b/kernelspecs/python3/static/a.js", ""), 200, "below")
	expect(t, s.request(get, "/b/kernelspecs/python3/broken", ""), 503, "")
	for _, file := range []string{"nope.png", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", `..%5cx`} {
		expect(t, s.request(get, "/b/kernelspecs/python3/"+file, ""), 404, "")
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("sub/n.ipynb", "")
	expect(t, s.request(get, "/api/sessions", ""), 200, "[]")
	r := s.request(post, "/api/sessions", `{"path":"sub/n.ipynb","type":"notebook","kernel":{"name":"python3"}}`)
	expect(t, r, 201, `"path":"sub/n.ipynb","name":"","type":"notebook","kernel":{"id":" … "notebook":{"path":"sub/n.ipynb","name":""}}`)
	m := r.object(t)
	id, kernel := m["id"].(string), m["kernel"].(map[string]any)["id"].(string)
	if got := s.fakes.starts[0]; got.Dir != "/mnt/sub" || got.SessionName != "sub/n.ipynb" {
		t.Errorf("started with %+v, want the notebook's folder and name", got)
	}
	again := s.request(post, "/api/sessions", `{"path":"sub/n.ipynb","type":"notebook"}`)
	expect(t, again, 201, id)
	if got, want := again.Header.Get("Location"), "/api/sessions/"+id; got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
	expect(t, s.request(post, "/api/sessions", `{"path":"c","type":"console","name":"c","kernel":{"id":"`+kernel+`"}}`), 201, kernel)
	expect(t, s.request(post, "/api/sessions", `{"notebook":{"path":"old.ipynb"}}`), 201, `"path":"old.ipynb","name":"","type":"notebook"`)
	expect(t, s.request(post, "/api/sessions", `{"notebook":{"path":"older.ipynb"},"kernel":{"name":"python","id":"foo"}}`), 201, `"name":"python3"`)
	expect(t, s.request(post, "/api/sessions", ``), 400, "No JSON data provided")
	expect(t, s.request(post, "/api/sessions", `{"type":"notebook"}`), 400, "Missing field in JSON data: path")
	expect(t, s.request(post, "/api/sessions", `{"path":"x"}`), 400, "Missing field in JSON data: type")
	expect(t, s.request(post, "/api/sessions", `{"path":"x","type":"notebook","kernel":{"name":"nope"}}`), 501, "No such kernel")
	expect(t, s.request(get, "/api/sessions/"+id, ""), 200, id)
	expect(t, s.request(patch, "/api/sessions/"+id, `{"path":"sub/m.ipynb","name":"m"}`), 200, `"path":"sub/m.ipynb","name":"m"`)
	expect(t, s.request(patch, "/api/sessions/"+id, `{"kernel":{"name":"other"}}`), 200, `"name":"other"`)
	expect(t, s.request(patch, "/api/sessions/"+id, `{"kernel":{"id":"`+unknownID+`"}}`), 400, "No such kernel: "+unknownID)
	expect(t, s.request(patch, "/api/sessions/"+id, `{"kernel":{"name":"nope"}}`), 501, "")
	expect(t, s.request(patch, "/api/sessions/"+unknownID, `{}`), 404, "Session not found: session_id='"+unknownID+"'")
	expect(t, s.request(remove, "/api/sessions/"+id, ""), 204, "")
	expect(t, s.request(remove, "/api/sessions/"+id, ""), 404, "Session not found")
	gone := s.request(post, "/api/sessions", `{"path":"g","type":"file"}`).object(t)
	expect(t, s.request(remove, "/api/kernels/"+gone["kernel"].(map[string]any)["id"].(string), ""), 204, "")
	expect(t, s.request(remove, "/api/sessions/"+gone["id"].(string), ""), 410, "Kernel deleted before session")
}

func TestTerminals(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("sub/x", "")
	expect(t, s.request(post, "/api/terminals", ``), 200, `{"name":"1","last_activity":"2001-09-09T01:46:40.000000Z"}`)
	expect(t, s.request(post, "/api/terminals", `{"cwd":"sub"}`), 200, `"name":"2"`)
	expect(t, s.request(post, "/api/terminals", `{"cwd":"nope/no"}`), 200, `"name":"3"`)
	expect(t, s.request(post, "/api/terminals", `{"cwd":"/mnt/sub"}`), 200, `"name":"4"`)
	expect(t, s.request(post, "/api/terminals", `{"cwd":"../../etc"}`), 200, `"name":"5"`)
	if want := []string{"/mnt/", "/mnt/sub", "/mnt/", "/mnt/sub", "/mnt/"}; !slices.Equal(s.fakes.dirs, want) {
		t.Errorf("folders = %q, want %q", s.fakes.dirs, want)
	}
	expect(t, s.request(get, "/api/terminals", ""), 200, `"name":"`)
	expect(t, s.request(get, "/api/terminals/1", ""), 200, `"name":"1"`)
	expect(t, s.request(remove, "/api/terminals/1", ""), 204, "")
	expect(t, s.request(get, "/api/terminals/1", ""), 404, "Terminal not found: 1")
	expect(t, s.request(remove, "/api/terminals/1", ""), 404, "Terminal not found: 1")
}

func TestNoEngines(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{options: func(o *Options) { o.Kernels, o.Sessions, o.Terminals = nil, nil, nil }})
	for _, path := range []string{"/api/kernels", "/api/kernelspecs", "/api/sessions", "/api/terminals"} {
		expect(t, s.request(get, path, ""), 501, "")
	}
	expect(t, s.request(get, "/api/status", ""), 200, `"kernels":0`)
}

// dial opens a WebSocket; conn is nil if the status is not 101.
func (s *site) dial(path string, header http.Header, protocols ...string) (conn *websocket.Conn, status int) {
	s.t.Helper()
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: time.Minute}
	conn, res, err := d.Dial("ws"+strings.TrimPrefix(s.URL, "http")+path, header)
	if err != nil && res == nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if err != nil {
		return nil, res.StatusCode
	}
	s.t.Cleanup(func() { _ = conn.Close() }) // the server may have closed it
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	return conn, res.StatusCode
}

const asAda = "?token=" + adaToken

func TestChannels(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	path := "/api/kernels/" + s.started("") + "/channels" + asAda + "&session_id="
	msg := wire.Message{
		Channel: wire.Shell, Header: []byte(`{"msg_id":"1","msg_type":"execute_request"}`),
		ParentHeader: []byte(`{}`), Metadata: []byte(`{}`), Content: []byte(`{"code":"1"}`),
	}
	conn, _ := s.dial(path+"v1", nil, "other", wire.Subprotocol)
	if got := conn.Subprotocol(); got != wire.Subprotocol {
		t.Fatalf("subprotocol = %q, want %q", got, wire.Subprotocol)
	}
	s.exchange(t, conn, websocket.BinaryMessage, wire.EncodeV1(msg))
	_, frame, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	back := msg
	back.Channel = wire.IOPub
	if want := wire.EncodeV1(back); !bytes.Equal(frame, want) {
		t.Errorf("answer = %q, want %q", frame, want)
	}

	legacy, _ := s.dial(path+"legacy", nil)
	if got := legacy.Subprotocol(); got != "" {
		t.Fatalf("subprotocol = %q, want none", got)
	}
	for _, broken := range []string{"no json", `{"channel":"nope"}`, `{"header":{"msg_id":7}}`, ""} { // dropped, and the socket lives on
		if err := legacy.WriteMessage(websocket.TextMessage, []byte(broken)); err != nil {
			t.Fatal(err)
		}
	}
	if frame, _, err = wire.EncodeLegacy(msg); err != nil {
		t.Fatal(err)
	}
	s.exchange(t, legacy, websocket.TextMessage, frame)
	kind, text, err := legacy.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		t.Fatalf("ReadMessage() = %d, %v, want a text frame", kind, err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil || m["msg_id"] != "1" || m["msg_type"] != "execute_request" || m["channel"] != "iopub" {
		t.Errorf("answer = %s, want msg_id and msg_type on top", text)
	}
	if got := s.fakes.usernames; !slices.Equal(got, []string{"ada", "ada"}) {
		t.Errorf("usernames = %q, want the verified one", got)
	}
}

// exchange sends a frame and waits until the kernel has it.
func (s *site) exchange(t *testing.T, conn *websocket.Conn, kind int, frame []byte) {
	t.Helper()
	if err := conn.WriteMessage(kind, frame); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-s.fakes.sent:
		if m.Channel != wire.Shell {
			t.Errorf("channel = %q, want shell", m.Channel)
		}
	case <-time.After(time.Minute):
		t.Fatal("the kernel got nothing")
	}
}

func TestTerminalSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	expect(t, s.request(post, "/api/terminals", ""), 200, "")
	conn, _ := s.dial("/terminals/websocket/1"+asAda, nil)
	say := func(text string) {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		_, got, err := conn.ReadMessage()
		if err != nil || string(got) != want {
			t.Fatalf("ReadMessage() = %s, %v, want %s", got, err, want)
		}
	}
	hear(`["setup",{}]`)
	for _, ignored := range []string{`{}`, `[]`, `["stdin"]`, `["stdin",1]`, `["set_size","a","b"]`, `["set_size",-1,5]`, `["other",1]`} {
		say(ignored)
	}
	say(`["stdin","hello"]`)
	hear(`["stdout","hello"]`)
	say(`["set_size",24,80,400,600]`)
	hear(`["stdout","size 24x80"]`)
	say(`["stdin","exit"]`)
	hear(`["disconnect",1]`)
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("after the end = %v, want a normal closure", err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("a.txt", "x")
	conn, _ := s.dial("/api/events/subscribe"+asAda, nil)
	next := func() map[string]any {
		t.Helper()
		var m map[string]any
		if err := conn.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	// The subscription begins shortly after the handshake: ask until an event comes.
	s.untilHeard(conn)
	steps := []struct {
		do           func()
		action, path string
		source       any
	}{
		{func() { s.request(get, "/api/contents/a.txt", "") }, "get", "a.txt", nil},
		{func() {
			s.request(put, "/api/contents/b.txt", `{"type":"file","format":"text","content":""}`)
		}, "create", "b.txt", nil},
		{func() {
			s.request(put, "/api/contents/b.txt", `{"type":"file","format":"text","content":"1"}`)
		}, "save", "b.txt", nil},
		{func() { s.request(patch, "/api/contents/b.txt", `{"path":"c.txt"}`) }, "rename", "c.txt", "b.txt"},
		{func() { s.request(post, "/api/contents", `{"copy_from":"c.txt"}`) }, "copy", "c-Copy1.txt", "c.txt"},
		{func() { s.request(remove, "/api/contents/c.txt", "") }, "delete", "c.txt", nil},
		{func() { s.outside("d.txt") }, "create", "d.txt", nil},
	}
	for _, tt := range steps {
		tt.do()
		m := next()
		if m["action"] != tt.action || m["path"] != tt.path || m["source_path"] != tt.source || m["schema_id"] != contentsSchema ||
			m["__schema_version__"] != "1" || m["__metadata_version__"] != 1.0 {
			t.Errorf("event = %v, want %s of %s", m, tt.action, tt.path)
		}
	}
	s.api.PublishKernelEvent(KernelEvent{Action: "start", KernelID: unknownID, KernelName: "python3", Status: "success"})
	if m := next(); m["action"] != "start" || m["kernel_id"] != unknownID || m["schema_id"] != kernelSchema {
		t.Errorf("event = %v, want the start of the kernel", m)
	}
}

// outside makes a file as the mount would.
func (s *site) outside(name string) {
	s.t.Helper()
	ctx := fs.WithCause(context.Background(), fs.Cause{Origin: fs.OriginMount})
	_, h, err := s.tree.Create(ctx, s.tree.Root(), name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := h.Release(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// untilHeard posts events until the subscriber hears one, and reads until it has heard the last.
func (s *site) untilHeard(conn *websocket.Conn) {
	s.t.Helper()
	const body = `{"schema_id":"` + gatewaySchema + `","version":"1","data":{"status":"`
	for done := false; !done; {
		s.api.bus.mu.Lock()
		done = len(s.api.bus.subs) > 0
		s.api.bus.mu.Unlock()
	}
	expectStatus(s.t, s.request(post, "/api/events", body+`last"}}`), 204)
	for {
		var m map[string]any
		if err := conn.ReadJSON(&m); err != nil {
			s.t.Fatal(err)
		}
		if m["status"] == "last" {
			return
		}
	}
}

// TestLostEvents proves that a subscriber is told what it has missed: where the tree lost changes, and when it was too slow itself.
func TestLostEvents(t *testing.T) {
	t.Parallel()
	t.Run("by the drive", func(t *testing.T) {
		t.Parallel()
		drive := &losing{Drive: mem.New(mem.Options{})}
		s := newSite(t, siteOptions{drive: drive})
		conn, _ := s.dial("/api/events/subscribe"+asAda, nil)
		s.untilHeard(conn)
		for _, p := range []fs.Path{"sub", ""} {
			drive.sink(fs.Change{Op: fs.OpLost, Path: p, Time: time.Now()})
			var m map[string]any
			if err := conn.ReadJSON(&m); err != nil || m["schema_id"] != rescanSchema || m["path"] != string(p) {
				t.Errorf("event = %v, %v, want a rescan of %q", m, err, p)
			}
		}
	})
	t.Run("by the subscriber", func(t *testing.T) {
		t.Parallel()
		var b bus
		events, stop := b.subscribe()
		defer stop()
		read := func() (got []string) {
			for range len(events) {
				e := <-events
				got = append(got, fmt.Sprint(e.schema == rescanSchema, e.data["path"]))
			}
			return got
		}
		for i := range eventBuffer + 10 {
			b.publish(contentsEvent("save", fs.Path(fmt.Sprint(i)), ""))
		}
		got := read()
		if len(got) != eventBuffer+1 || got[eventBuffer-1] != "false255" || got[eventBuffer] != "true" {
			t.Errorf("%d events were queued, the last are %q, want %d and a rescan", len(got), got[max(0, len(got)-2):], eventBuffer)
		}
		b.publish(contentsEvent("save", "next", ""))
		if got := read(); !slices.Equal(got, []string{"falsenext"}) {
			t.Errorf("after that came %q, want the next event only", got)
		}
	})
}

// losing is a drive whose changes a test makes up.
type losing struct {
	fs.Drive
	sink func(fs.Change)
}

func (d *losing) Publish(sink func(fs.Change)) {
	d.sink = sink
	d.Drive.Publish(sink)
}

func expectStatus(t testing.TB, r reply, status int) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s %s = %d %.300s, want %d", r.Request.Method, r.Request.URL, r.StatusCode, r.body, status)
	}
}

func TestPostEvent(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	const good = `{"schema_id":"` + kernelSchema + `","version":"1","data":{"action":"start"}`
	tests := []struct {
		name, body string
		status     int
	}{
		{"good", good + `}`, 204},
		{"number as version", strings.Replace(good, `"1"`, `1`, 1) + `}`, 204},
		{"with a time", good + `,"timestamp":"2022-05-26T12:50:00+0000Z"}`, 204},
		{"bad time", good + `,"timestamp":"2022-05-26 12:50:00"}`, 400},
		{"empty", ``, 400},
		{"no schema", `{"version":"1","data":{}}`, 400},
		{"no version", `{"schema_id":"x","data":{}}`, 400},
		{"no data", `{"schema_id":"` + kernelSchema + `","version":"1"}`, 400},
		{"unknown schema", `{"schema_id":"x","version":"1","data":{}}`, 400},
		{"wrong version", strings.Replace(good, `"1"`, `"2"`, 1) + `}`, 400},
		{"what only the server knows", `{"schema_id":"` + rescanSchema + `","version":"1","data":{"path":""}}`, 400},
		{"wrong action", strings.Replace(good, "start", "dance", 1) + `}`, 400},
	}
	for _, tt := range tests {
		if r := s.request(post, "/api/events", tt.body); r.StatusCode != tt.status {
			t.Errorf("%s: POST = %d %s, want %d", tt.name, r.StatusCode, r.body, tt.status)
		}
	}
}

func TestCloseEndsSockets(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	conn, _ := s.dial("/api/events/subscribe"+asAda, nil)
	s.untilHeard(conn)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.api.Close(ctx); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("ReadMessage() after Close = %v, want 1001", err)
	}
}

func TestRemovedUserLosesSockets(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	conn, _ := s.dial("/api/events/subscribe?token="+bobToken, nil)
	s.untilHeard(conn)
	if err := s.users.Replace(identity.User{Name: "ada", TokenSHA256: sum(adaToken), Owner: true}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("ReadMessage() after the user was removed = %v, want 1008", err)
	}
	expect(t, s.request(get, "/api/contents", "", "Authorization: token "+bobToken), 403, "")
}

func TestResolvePathOfKernel(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("sub/lib.py", "")
	id := s.started("sub")
	ask := func(path string) reply {
		return s.request(get, "/api/resolvePath?kernel="+id+"&path="+url.QueryEscape(path), "")
	}
	expect(t, ask("lib.py"), 200, `{"resolved":[{"scope":"kernel","path":"/mnt/sub/lib.py"}]}`)
	expect(t, ask("../sub/lib.py"), 200, `"path":"/mnt/sub/lib.py"`)
	expect(t, ask("/mnt/sub/lib.py"), 200, `{"scope":"server","path":"sub/lib.py"},{"scope":"kernel","path":"/mnt/sub/lib.py"}`)
	expect(t, ask("../../etc/passwd"), 200, `{"resolved":[]}`)
}
