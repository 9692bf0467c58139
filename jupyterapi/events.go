package jupyterapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// The schemas of events, as Jupyter names them.
const (
	contentsSchema = "https://events.jupyter.org/jupyter_server/contents_service/v1"
	kernelSchema   = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"
	gatewaySchema  = "https://events.jupyter.org/jupyter_server/gateway_client/v1"
	// rescanSchema is our own: events about "path" or what is below it were lost; read again what matters there. "" is everything.
	rescanSchema = "https://github.com/jupyter-drive/jupyter-drive/events/rescan/v1"
)

// schemaVersion is the version of all of them.
const schemaVersion = "1"

// eventTime is how the time of an event is written, and eventTimeZone how a client may write it too.
const (
	eventTime     = "2006-01-02T15:04:05.000000Z"
	eventTimeZone = "2006-01-02T15:04:05-0700Z"
)

// actions are the values of the field "action" of each schema.
var actions = map[string][]string{
	contentsSchema: {"get", "create", "save", "upload", "rename", "copy", "delete"},
	kernelSchema:   {"start", "interrupt", "shutdown", "restart"},
	gatewaySchema:  nil, // it has "status" instead
}

// eventBuffer is how many events may wait for a slow subscriber. What follows is lost, and an event of rescanSchema says so.
const eventBuffer = 256

// event is something that happened, on its way to subscribers.
type event struct {
	schema string
	time   time.Time
	data   map[string]any
	about  []fs.Resource // who may read all of these hears of it
}

// KernelEvent tells what was done with a kernel.
type KernelEvent struct {
	Action     string // start, interrupt, restart or shutdown
	KernelID   string
	KernelName string
	Status     string // success or error
	StatusCode int    // 0 unless Status is error
	Msg        string
}

// bus passes events on to subscribers.
type bus struct {
	mu   sync.Mutex // guards subs and what is sent to them
	subs map[*subscriber]bool
}

// subscriber hears the events of a bus.
type subscriber struct {
	c    chan event
	lost bool // the last event that was queued says that some are lost
}

func (b *bus) subscribe() (events <-chan event, stop func()) {
	one := &subscriber{c: make(chan event, eventBuffer+1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = map[*subscriber]bool{}
	}
	b.subs[one] = true
	return one.c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, one)
	}
}

func (b *bus) publish(e event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for one := range b.subs {
		one.offer(e)
	}
}

// offer queues an event. The last place is for the one that says that what follows is lost. The caller holds the bus's mu.
func (s *subscriber) offer(e event) {
	if len(s.c) < eventBuffer {
		s.c <- e
		s.lost = false
		return
	}
	if !s.lost && len(s.c) < cap(s.c) {
		s.c <- rescanEvent("", e.time)
		s.lost = true
	}
}

func rescanEvent(p fs.Path, at time.Time) event {
	return event{schema: rescanSchema, time: at, data: map[string]any{"path": string(p)}, about: []fs.Resource{{Kind: fs.Contents, Path: p}}}
}

// publishContents tells that a file was read or changed through the API.
func (s *Server) publishContents(action string, p, source fs.Path) {
	s.bus.publish(contentsEvent(action, p, source))
}

func contentsEvent(action string, p, source fs.Path) event {
	e := event{schema: contentsSchema, time: time.Now(), data: map[string]any{"action": action, "path": string(p)}}
	e.about = []fs.Resource{{Kind: fs.Contents, Path: p}}
	if source != "" {
		e.data["source_path"] = string(source)
		e.about = append(e.about, fs.Resource{Kind: fs.Contents, Path: source})
	}
	return e
}

// changeEvent turns a change that did not come through the API into an event.
func changeEvent(ch fs.Change) (event, bool) {
	if ch.Op == fs.OpLost && ch.Path.UTF8() {
		return rescanEvent(ch.Path, ch.Time), true
	}
	action := map[fs.Op]string{fs.OpCreate: "create", fs.OpWrite: "save", fs.OpReplace: "save", fs.OpRemove: "delete", fs.OpRename: "rename"}[ch.Op]
	if action == "" || ch.Cause.Origin == fs.OriginAPI || !ch.Path.UTF8() || !ch.OldPath.UTF8() {
		return event{}, false
	}
	return contentsEvent(action, ch.Path, ch.OldPath), true
}

// PublishKernelEvent tells subscribers what was done with a kernel. It does not block.
func (s *Server) PublishKernelEvent(k KernelEvent) {
	data := map[string]any{"action": k.Action, "kernel_id": k.KernelID, "kernel_name": k.KernelName, "status": k.Status, "msg": k.Msg}
	if k.StatusCode != 0 {
		data["status_code"] = k.StatusCode
	}
	s.bus.publish(event{schema: kernelSchema, time: time.Now(), data: data, about: s.kernelResources(fs.Kernels, k.KernelID)})
	if k.Action == "shutdown" && k.StatusCode == 0 {
		s.places.forget(k.KernelID)
	}
}

// marshal returns the event as a subscriber gets it.
func (e event) marshal() ([]byte, error) {
	out := map[string]any{
		"schema_id": e.schema, "__timestamp__": e.time.UTC().Format(eventTime),
		"__schema_version__": schemaVersion, "__metadata_version__": 1,
	}
	for key, value := range e.data {
		if _, taken := out[key]; !taken {
			out[key] = value
		}
	}
	return json.Marshal(out)
}

// postEvent answers POST /api/events: a client tells something to the subscribers.
func postEvent(c *call) error {
	var body struct {
		Schema    *string         `json:"schema_id"`
		Version   json.RawMessage `json:"version"`
		Data      map[string]any  `json:"data"`
		Timestamp *string         `json:"timestamp"`
	}
	sent, err := c.decode(&body)
	switch {
	case err != nil:
		return err
	case !sent:
		return failed(http.StatusBadRequest, "No JSON data provided")
	case body.Schema == nil:
		return failed(http.StatusBadRequest, "Missing `schema_id` in the JSON request body.")
	case body.Data == nil:
		return failed(http.StatusBadRequest, "Missing `data` in the JSON request body.")
	case body.Version == nil:
		return failed(http.StatusBadRequest, "Missing `version` in the JSON request body.")
	}
	e := event{schema: *body.Schema, time: time.Now(), data: body.Data}
	if err := checkEvent(e, string(body.Version)); err != nil {
		return err
	}
	e.about = c.s.eventResources(e)
	if body.Timestamp != nil {
		if e.time, err = parseEventTime(*body.Timestamp); err != nil {
			return failed(http.StatusBadRequest, "The timestamp is not of the form YYYY-mm-ddTHH:MM:SS+hhmmZ")
		}
	}
	c.s.bus.publish(e)
	return c.noContent(http.StatusNoContent)
}

// eventResources returns what a client's event is about: who may not read that does not hear of it.
func (s *Server) eventResources(e event) []fs.Resource {
	text := func(key string) string { value, _ := e.data[key].(string); return value }
	switch e.schema {
	case contentsSchema:
		return []fs.Resource{{Kind: fs.Contents, Path: documentOf(text("path"))}, {Kind: fs.Contents, Path: documentOf(text("source_path"))}}
	case kernelSchema:
		return s.kernelResources(fs.Kernels, text("kernel_id"))
	}
	return nil
}

func parseEventTime(s string) (time.Time, error) {
	t, err := time.Parse(eventTimeZone, s)
	if err != nil {
		return time.Parse(time.RFC3339, s)
	}
	return t, nil
}

// checkEvent compares an event of a client with its schema.
func checkEvent(e event, version string) error {
	allowed, known := actions[e.schema] // rescanSchema is not among them: only the server knows what was lost
	switch {
	case !known:
		return failed(http.StatusBadRequest, "Unregistered schema: "+e.schema)
	case version != schemaVersion && version != `"`+schemaVersion+`"`:
		return failed(http.StatusBadRequest, "Unregistered version of the schema: "+version)
	}
	action, _ := e.data["action"].(string)
	if allowed != nil && !slices.Contains(allowed, action) {
		return failed(http.StatusBadRequest, "The data does not fit the schema: action")
	}
	if path, isText := e.data["path"].(string); e.schema == contentsSchema && (!isText || len(path) > 1<<14) {
		return failed(http.StatusBadRequest, "The data does not fit the schema: path")
	}
	return nil
}

// openEvents answers the WebSocket /api/events/subscribe.
func openEvents(c *call) error {
	return c.withSocket(nil, func(one *socket) {
		events, stop := c.s.bus.subscribe()
		defer stop()
		changes := c.view.Subscribe(eventBuffer)
		defer changes.Close()
		go func() { // ends with the socket
			for {
				if _, _, err := one.receive(); err != nil {
					return
				}
			}
		}()
		for {
			var e event
			ok := true
			select {
			case <-one.ctx.Done():
				return
			case e = <-events:
			case ch, more := <-changes.C():
				if !more {
					return
				}
				e, ok = changeEvent(ch)
			}
			if ok {
				e, ok = c.visible(e)
			}
			if ok && c.tell(one, e) != nil {
				return
			}
		}
	})
}

// visible returns an event as the subscriber may see it, if it may. A move between what it may read and what it may not looks like the
// end of the one or the beginning of the other.
func (c *call) visible(e event) (event, bool) {
	if c.mayAll(fs.Read, e.about) {
		return e, true
	}
	if e.schema != contentsSchema || e.data["action"] != "rename" || len(e.about) != 2 {
		return e, false
	}
	for i, action := range []string{"create", "delete"} {
		if c.may(fs.Read, e.about[i]) {
			seen := contentsEvent(action, e.about[i].Path, "")
			seen.time = e.time
			return seen, true
		}
	}
	return e, false
}

func (c *call) tell(one *socket, e event) error {
	data, err := e.marshal()
	if err != nil {
		return err
	}
	return one.send(websocket.TextMessage, data)
}
