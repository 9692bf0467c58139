package kernels

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// message returns an iopub message of a type about a parent.
func message(msgType, parent, content string) wire.Message {
	return wire.Message{
		Channel: wire.IOPub, Header: []byte(`{"msg_type":"` + msgType + `"}`),
		ParentHeader: []byte(`{"msg_id":"` + parent + `"}`), Metadata: []byte(`{}`), Content: []byte(content),
	}
}

func stream(parent, name, text string) wire.Message {
	return message("stream", parent, fmt.Sprintf(`{"name":%q,"text":%q}`, name, text))
}

// summary shows messages in one line.
func summary(items []wire.Message) string {
	var parts []string
	for _, m := range items {
		if c, ok := asStream(m); ok {
			parts = append(parts, c.Name+":"+c.Text)
			continue
		}
		h, err := m.DecodeHeader()
		if err != nil {
			return err.Error()
		}
		parts = append(parts, h.MsgType)
	}
	return strings.Join(parts, " ")
}

func TestJoinStreams(t *testing.T) {
	withBuffers := stream("a", "stdout", "3")
	withBuffers.Buffers = [][]byte{{1}}
	onShell := stream("a", "stdout", "5")
	onShell.Channel = wire.Shell
	tests := []struct {
		name  string
		items []wire.Message
		want  string
	}{
		{"nothing", nil, ""},
		{"neighbours", []wire.Message{stream("a", "stdout", "1"), stream("a", "stdout", "2"), stream("a", "stdout", "3")}, "stdout:123"},
		{"other names", []wire.Message{stream("a", "stdout", "1"), stream("a", "stderr", "2"), stream("a", "stderr", "3")}, "stdout:1 stderr:23"},
		{"other parents", []wire.Message{stream("a", "stdout", "1"), stream("b", "stdout", "2")}, "stdout:1 stdout:2"},
		{"something between", []wire.Message{stream("a", "stdout", "1"), message("status", "a", `{}`), stream("a", "stdout", "2")}, "stdout:1 status stdout:2"},
		{"unknown fields", []wire.Message{stream("a", "stdout", "1"), message("stream", "a", `{"name":"stdout","text":"2","x":1}`)}, "stdout:1 stream"},
		{"buffers", []wire.Message{stream("a", "stdout", "1"), withBuffers, stream("a", "stdout", "4")}, "stdout:1 stream stdout:4"},
		{"shell", []wire.Message{stream("a", "stdout", "1"), onShell}, "stdout:1 stream"},
		{"word in another message", []wire.Message{message("display_data", "a", `{"x":"stream"}`)}, "display_data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := summary(joinStreams(tt.items)); got != tt.want {
				t.Errorf("joinStreams = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestQueueJoinsWhenFull(t *testing.T) {
	q := newQueue(400_000)
	var want strings.Builder
	for i := range 10_000 { // ten times as many bytes as single messages
		text := fmt.Sprint(i, ",")
		want.WriteString(text)
		if !q.push(stream("a", "stdout", text)) {
			t.Fatalf("message %d was refused, want it joined", i)
		}
	}
	status := message("status", "a", `{}`)
	if !q.push(status) {
		t.Fatal("the status was refused")
	}
	var got strings.Builder
	for {
		m, err := q.pop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, ok := asStream(m)
		if !ok {
			break
		}
		got.WriteString(c.Text)
	}
	if got.String() != want.String() {
		t.Errorf("joined text has %d bytes, want %d", got.Len(), want.Len())
	}
	if q.bytes != 0 || q.fresh != 0 || q.joined != 0 {
		t.Errorf("an empty queue counts %d bytes, %d fresh, %d joined", q.bytes, q.fresh, q.joined)
	}
}

func TestQueueRefusesWhatCannotBeJoined(t *testing.T) {
	q := newQueue(5000)
	big := message("display_data", "a", `{"x":"`+strings.Repeat("x", 10_000)+`"}`)
	if !q.push(big) {
		t.Error("a large message that is alone was refused")
	}
	if q.push(big) {
		t.Error("a message was accepted beyond the limit")
	}
}

func TestQueueEnds(t *testing.T) {
	end := errors.New("end")
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(5000)
		q.push(message("status", "a", `{}`))
		q.end(end)
		if _, err := q.pop(t.Context()); err != nil {
			t.Errorf("pop = %v, want the message that waited", err)
		}
		for range 2 {
			if _, err := q.pop(t.Context()); !errors.Is(err, end) {
				t.Errorf("pop = %v, want the reason of the end", err)
			}
		}

		q = newQueue(5000)
		popped := make(chan error)
		go func() { _, err := q.pop(context.Background()); popped <- err }()
		synctest.Wait()
		q.abort(end)
		if err := <-popped; !errors.Is(err, end) {
			t.Errorf("pending pop = %v, want the reason of the abort", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := newQueue(1).pop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("pop = %v, want context.Canceled", err)
		}
	})
}

func TestBufferDropsOutputFirst(t *testing.T) {
	b := buffer{limit: 20_000}
	b.add(message("status", "a", `{}`))
	for range 100 {
		b.add(message("display_data", "a", `{"x":"`+strings.Repeat("x", 1000)+`"}`))
	}
	reply := message("execute_reply", "a", `{}`)
	reply.Channel = wire.Shell
	b.add(reply)
	got := strings.Fields(summary(b.items))
	if got[0] != "status" || got[len(got)-1] != "execute_reply" {
		t.Errorf("buffer holds %v, want the status and the reply kept", got)
	}
	if b.bytes > b.limit || b.bytes != total(b.items) || b.dropped != 102-len(got) {
		t.Errorf("buffer has %d bytes (limit %d) and %d dropped of 102, holds %d", b.bytes, b.limit, b.dropped, len(got))
	}
}

func TestRequestsAreBounded(t *testing.T) {
	var r requests
	for i := range maxRequests + 10 {
		r.add(fmt.Sprint(i), openRequest{session: fmt.Sprint(i)})
	}
	if _, ok := r.get("9"); ok || len(r.open) != maxRequests {
		t.Errorf("%d requests are open, want %d without the oldest", len(r.open), maxRequests)
	}
	if o, ok := r.get("10"); !ok || o.session != "10" {
		t.Errorf("get(10) = %v, %v", o, ok)
	}
	r.finish("11", true)
	if _, ok := r.get("11"); !ok {
		t.Error("a request without its idle status was closed")
	}
	r.finish("11", false)
	if _, ok := r.get("11"); ok {
		t.Error("a finished request is open")
	}
	all := r.takeAll()
	if len(all) != maxRequests-1 || all[0].session != "10" || all[1].session != "12" {
		t.Errorf("takeAll gave %d requests starting with %v", len(all), all[:2])
	}
}
