package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Kernel is an open WebSocket to a kernel's channels, in the JSON framing that every server speaks.
type Kernel struct {
	conn     *websocket.Conn
	session  string
	requests int
}

// Result is what one request came to.
type Result struct {
	Reply  json.RawMessage // the content of the reply
	Stdout string
	Errors []string // names of exceptions
}

// message is a message of the kernel protocol as it goes over the WebSocket.
type message struct {
	Channel string          `json:"channel"`
	Header  messageHeader   `json:"header"`
	Parent  messageHeader   `json:"parent_header"`
	Meta    struct{}        `json:"metadata"`
	Content json.RawMessage `json:"content"`
}

type messageHeader struct {
	MsgID    string `json:"msg_id,omitempty"`
	MsgType  string `json:"msg_type,omitempty"`
	Session  string `json:"session,omitempty"`
	Username string `json:"username,omitempty"`
	Date     string `json:"date,omitempty"`
	Version  string `json:"version,omitempty"`
}

// WebSocket opens a WebSocket at path. The caller closes it.
func (c Client) WebSocket(ctx context.Context, path string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{}
	if transport, ok := c.http().Transport.(*http.Transport); ok && transport != nil {
		dialer.TLSClientConfig = transport.TLSClientConfig
	}
	conn, response, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(c.URL, "http")+path, http.Header{"Authorization": {"token " + c.Token}})
	if err != nil {
		if response != nil {
			err = fmt.Errorf("%w (%s)", err, response.Status)
		}
		return nil, err
	}
	return conn, response.Body.Close()
}

// Dial opens the channels of the kernel. The caller closes the Kernel.
func (c Client) Dial(ctx context.Context, id string) (*Kernel, error) {
	session := "client-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	conn, err := c.WebSocket(ctx, "api/kernels/"+id+"/channels?session_id="+session)
	if err != nil {
		return nil, fmt.Errorf("connecting to kernel %s: %w", id, err)
	}
	return &Kernel{conn: conn, session: session}, nil
}

// Close ends the connection; the kernel goes on.
func (k *Kernel) Close() error { return k.conn.Close() }

// Execute is the content of an execute_request for the code.
func Execute(code string) any {
	return map[string]any{
		"code": code, "silent": false, "store_history": false, "user_expressions": struct{}{}, "allow_stdin": false, "stop_on_error": true,
	}
}

// Send sends a request on the shell channel and returns its id.
func (k *Kernel) Send(msgType string, content any) (id string, err error) {
	raw, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	k.requests++
	id = fmt.Sprintf("%s-%d", k.session, k.requests)
	return id, k.conn.WriteJSON(message{Channel: "shell", Content: raw, Header: messageHeader{
		MsgID: id, MsgType: msgType, Session: k.session, Username: "client", Version: "5.3",
		Date: time.Now().UTC().Format(time.RFC3339Nano),
	}})
}

// Request sends a request on the shell channel and returns when both its reply and the idle status after it have come.
func (k *Kernel) Request(ctx context.Context, msgType string, content any) (Result, error) {
	// A cancelled context ends the connection's reads; the Kernel cannot be used after that.
	stop := context.AfterFunc(ctx, func() { _ = k.conn.SetReadDeadline(time.Unix(1, 0)) }) // fails only on a closed connection
	defer stop()
	id, err := k.Send(msgType, content)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", msgType, err)
	}
	var result Result
	for replied, idle := false, false; !replied || !idle; {
		var m message
		if err := k.conn.ReadJSON(&m); err != nil {
			return result, fmt.Errorf("%s: waiting for the kernel: %w", msgType, err)
		}
		if m.Parent.MsgID != id {
			continue
		}
		switch {
		case m.Channel == "shell":
			result.Reply, replied = m.Content, true
		case m.Channel == "iopub":
			idle = result.published(m) || idle
		}
	}
	return result, nil
}

// published takes in a message of iopub and reports whether it says that the kernel is idle.
func (r *Result) published(m message) (idle bool) {
	var content struct {
		Text  string `json:"text"`
		Name  string `json:"ename"`
		State string `json:"execution_state"`
	}
	if json.Unmarshal(m.Content, &content) != nil {
		return false
	}
	switch m.Header.MsgType {
	case "stream":
		r.Stdout += content.Text
	case "error":
		r.Errors = append(r.Errors, content.Name)
	}
	return m.Header.MsgType == "status" && content.State == "idle"
}
