package jupyterapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// pipes is a listener whose connections have no buffer and whose deadlines follow the clock of a synctest bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once // of closing
	ended chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), ended: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

// onPipes makes a site answer on pipes, with HTTP/2 over TLS or HTTP/1.
func onPipes(o siteOptions, p *pipes, http2 bool) siteOptions {
	o.listen = func(h http.Handler) *httptest.Server {
		srv := httptest.NewUnstartedServer(h)
		_ = srv.Listener.Close() // it was never used
		srv.Listener = p
		if http2 {
			srv.EnableHTTP2 = true
			srv.StartTLS()
		} else {
			srv.Start()
		}
		return srv
	}
	return o
}

// talk is a client's end of a connection to a site on pipes.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (p *pipes) talk(t *testing.T) *talk {
	t.Helper()
	conn, err := p.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the server may have done so
	return &talk{t, conn, bufio.NewReader(conn)}
}

// say writes; the server may have hung up.
func (c *talk) say(text string) error {
	_, err := io.WriteString(c.conn, text)
	return err
}

// hear returns the status and body of the next answer.
func (c *talk) hear() (int, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("half an answer: %v", err)
	}
	return res.StatusCode, string(body)
}

// gone waits until the server has hung up.
func (c *talk) gone() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.in); n > 0 || err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.t.Errorf("instead of the end there are %d bytes, %v", n, err)
	}
}

func head(method, path string, length int, token string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: token %s\r\nContent-Length: %d\r\n\r\n", method, path, token, length)
}

const testPatience = 10 * time.Second

// patientSite has a page, /pause, that is half written and then takes its time.
func patientSite(t *testing.T, p *pipes, http2 bool) *site {
	pause := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<16)) // the client will notice
		select {
		case <-time.After(3 * testPatience):
			_, _ = io.WriteString(w, "end")
		case <-r.Context().Done():
		}
	})
	return newSite(t, onPipes(siteOptions{options: func(o *Options) {
		o.Patience = testPatience
		o.App = &App{Handler: pause, Routes: []AppRoute{{Path: "/pause", Methods: []string{get}, Class: AppPublic}}}
	}}, p, http2))
}

// TestSlowBodies proves that no client holds a request by sending slowly.
func TestSlowBodies(t *testing.T) {
	const prefix = `{"type":"file","format":"text","content":"`
	tests := []struct {
		name, token string
		pieces      int // of the body
		size        int // of a piece
		every       time.Duration
		status      int
		limit       time.Duration // of the whole
	}{
		{"at once", adaToken, 1, 1 << 20, 0, 201, 0},
		{"nothing comes", adaToken, 1, 1, time.Hour, 408, testPatience},
		{"it stops after a lot", adaToken, 2, 1 << 20, testPatience * 2, 408, testPatience * 3},
		{"a byte now and then", adaToken, 1000, 1, testPatience / 2, 408, testPatience * 3},
		{"slow but steady", adaToken, 40, 8 << 10, testPatience * 9 / 10, 201, testPatience * 40},
		{"a stranger sends nothing", "wrong", 1, 1, time.Hour, 403, testPatience * 2},
		{"a stranger sends a byte now and then", "wrong", 1000, 1, testPatience / 2, 403, testPatience * 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				s := patientSite(t, p, false)
				c := p.talk(t)
				begun := time.Now()
				answered := make(chan struct{})
				defer close(answered)
				go func() { // ends with the connection, or the answer
					body := prefix + strings.Repeat("x", tt.pieces*tt.size) + `"}`
					err := c.say(head(put, "/api/contents/a.txt", len(body), tt.token))
					for first := true; body != "" && err == nil; first = false {
						if !first || tt.size == 1 {
							select {
							case <-time.After(tt.every):
							case <-answered:
								return
							}
						}
						n := min(len(body), max(tt.size, 1))
						err = c.say(body[:n])
						body = body[n:]
					}
				}()
				status, text := c.hear()
				if status != tt.status {
					t.Errorf("answer = %d %s, want %d", status, text, tt.status)
				}
				if tt.status != 201 {
					c.gone()
				}
				if took := time.Since(begun); took > tt.limit {
					t.Errorf("it took %v, want at most %v", took, tt.limit)
				}
				if got := s.read("a.txt"); (got != "<gone>") != (tt.status == 201) {
					t.Errorf("a.txt has %d bytes after %d", len(got), tt.status)
				}
				_ = c.conn.Close() // ends the sender
			})
		})
	}
}

// TestClientThatDoesNotRead proves that a client that takes no answer is hung up on, however the answer is made.
func TestClientThatDoesNotRead(t *testing.T) {
	for _, path := range []string{"/api/contents/big.txt", "/files/big.txt", "/api/contents/nb.ipynb", "/api/status", "/lab"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				s := patientSite(t, p, false)
				s.write("big.txt", strings.Repeat("0123456789", 1<<17))
				s.write("nb.ipynb", emptyNotebook)
				c := p.talk(t)
				if err := c.say(head(get, path, 0, adaToken)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * testPatience)
				c.gone()
			})
		})
	}
}

// TestSlowReader proves that a client that takes an answer slowly but steadily gets it whole.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := patientSite(t, p, false)
		text := strings.Repeat("0123456789", 1<<17)
		s.write("big.txt", text)
		c := p.talk(t)
		if err := c.say(head(get, "/files/big.txt", 0, adaToken)); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var got strings.Builder
		for err == nil {
			time.Sleep(testPatience * 9 / 10)
			_, err = io.CopyN(&got, res.Body, pieceSize)
		}
		if !errors.Is(err, io.EOF) || got.String() != text {
			t.Errorf("got %d bytes, %v, want %d", got.Len(), err, len(text))
		}
	})
}

// TestLongRequest proves that the limits are for clients, not for what the server itself takes, and that the connection goes on.
func TestLongRequest(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1", true: "HTTP/2"}[http2], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				s := patientSite(t, p, http2)
				s.fakes.takes = 10 * testPatience
				transport := s.Client().Transport.(*http.Transport)
				dials := 0
				transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					dials++
					return p.dial(ctx, network, address)
				}
				ask := func(method, path, body string) {
					t.Helper()
					r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Authorization", "token "+adaToken)
					res, err := s.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode >= 300 {
						t.Errorf("%s %s = %d, %v", method, path, res.StatusCode, err)
					}
					if err := res.Body.Close(); err != nil {
						t.Error(err)
					}
					if want := map[bool]int{false: 1, true: 2}[http2]; res.ProtoMajor != want {
						t.Errorf("HTTP/%d was spoken, want %d", res.ProtoMajor, want)
					}
				}
				ask(post, "/api/kernels", `{"kernel_id":"`+fakeID+`"}`)
				ask(get, "/pause", "")
				ask(post, "/api/kernels/"+fakeID+"/restart", "")
				ask(post, "/api/kernels/"+fakeID+"/restart", `{"a body": "that nobody reads"}`)
				time.Sleep(3 * testPatience)
				ask(get, "/api/status", "")
				if dials != 1 {
					t.Errorf("%d connections were made, want 1", dials)
				}
				transport.CloseIdleConnections()
			})
		})
	}
}

// socket opens a WebSocket over pipes.
func (p *pipes) socket(t *testing.T, s *site, path string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: p.dial}
	conn, res, err := dialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // it is empty
	return conn
}

// running starts a kernel and returns its id.
func (s *site) running(t *testing.T) string {
	t.Helper()
	k, err := s.fakes.Start(t.Context(), KernelStart{})
	if err != nil {
		t.Fatal(err)
	}
	return k.ID
}

// TestSocketThatDoesNotRead proves that a browser that takes nothing from a kernel is hung up on, and that another one does not notice.
func TestSocketThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := patientSite(t, p, false)
		channels := "/api/kernels/" + s.running(t) + "/channels" + asAda + "&session_id="
		deaf, reader := p.socket(t, s, channels+"deaf"), p.socket(t, s, channels+"reader")
		synctest.Wait()
		message := wire.Message{Channel: wire.IOPub, Header: []byte(`{"msg_id":"1","msg_type":"status"}`), Content: []byte(`{}`)}
		begun := time.Now()
		for range 10 {
			s.fakes.say(message)
			if _, _, err := reader.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("ten messages took %v while another client did not read", took)
		}
		time.Sleep(writeWait + time.Second)
		synctest.Wait()
		if got := s.fakes.attached(); got != 1 {
			t.Errorf("%d clients are attached after %v, want the one that reads", got, writeWait)
		}
		if n, err := io.Copy(io.Discard, deaf.NetConn()); err != nil {
			t.Errorf("reading at last: %d bytes, %v, want the end", n, err)
		}
	})
}

// TestSilentSocket proves that a browser that answers no ping is hung up on.
func TestSilentSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := patientSite(t, p, false)
		conn := p.socket(t, s, "/api/kernels/"+s.running(t)+"/channels"+asAda)
		conn.SetPingHandler(func(string) error { return nil })
		if _, _, err := conn.ReadMessage(); err == nil {
			t.Error("a message came from nowhere")
		}
		synctest.Wait()
		if got := s.fakes.attached(); got != 0 {
			t.Errorf("%d clients are attached, want none", got)
		}
	})
}

// TestClosingDeafSockets proves that many clients that do not read do not hold up the end of the server.
func TestClosingDeafSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := patientSite(t, p, false)
		for range 50 {
			p.socket(t, s, "/api/events/subscribe"+asAda)
		}
		synctest.Wait()
		s.api.publishContents("save", "a.txt", "") // each is now in the middle of a message
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.api.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}

const fakeID = "11111111-2222-3333-4444-555555555555"
