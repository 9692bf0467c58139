package zmqconn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"
)

// listen serves one connection with serve on a fresh listener and returns its endpoint.
func listen(t *testing.T, network string, serve func(nc net.Conn)) string {
	t.Helper()
	address, scheme := "127.0.0.1:0", "tcp://"
	if network == "unix" {
		address, scheme = filepath.Join(t.TempDir(), "s"), "ipc://"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		serve(nc)
	}()
	return scheme + l.Addr().String()
}

// echo answers each message with the same frames.
func echo(nc net.Conn) {
	c, err := Accept(context.Background(), nc, Router, Options{})
	if err != nil {
		return
	}
	for {
		frames, err := c.Recv()
		if err != nil {
			return
		}
		if err := c.Send(append([][]byte{[]byte(c.Identity())}, frames...)); err != nil {
			return
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			c, err := Dial(t.Context(), listen(t, network, echo), Dealer, "me", Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, frames := range [][][]byte{
				{[]byte("one")},
				{[]byte("a"), {}, bytes.Repeat([]byte("b"), 256), bytes.Repeat([]byte("c"), 3<<20), []byte("d")},
			} {
				if err := c.Send(frames); err != nil {
					t.Fatal(err)
				}
				got, err := c.Recv()
				want := append([][]byte{[]byte("me")}, frames...)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("Recv = %.80q, %v, want the %d frames sent after the identity", got, err, len(frames))
				}
			}
		})
	}
}

func TestDialWaitsForTheListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late")
	served := make(chan error, 1)
	time.AfterFunc(3*dialRetry, func() {
		served <- func() error {
			l, err := net.Listen("unix", path)
			if err != nil {
				return err
			}
			defer l.Close()
			nc, err := l.Accept()
			if err != nil {
				return err
			}
			_, err = Accept(context.Background(), nc, Router, Options{})
			return err
		}()
	})
	c, err := Dial(t.Context(), "ipc://"+path, Dealer, "", Options{})
	if err != nil {
		t.Fatalf("Dial = %v, want a connection once somebody listens", err)
	}
	defer c.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestDialEnds(t *testing.T) {
	mute := func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }
	t.Run("mute peer, deadline", func(t *testing.T) {
		_, err := Dial(t.Context(), listen(t, "tcp", mute), Dealer, "", Options{HandshakeTimeout: 20 * time.Millisecond})
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("Dial = %v, want a timeout", err)
		}
	})
	t.Run("mute peer, canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := Dial(ctx, listen(t, "tcp", mute), Dealer, "", Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Dial = %v, want context.Canceled", err)
		}
	})
	t.Run("nobody listens, canceled", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := Dial(ctx, "ipc://"+filepath.Join(t.TempDir(), "none"), Dealer, "", Options{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial = %v, want context.DeadlineExceeded", err)
		}
	})
	t.Run("wrong scheme", func(t *testing.T) {
		if _, err := Dial(t.Context(), "inproc://x", Dealer, "", Options{}); err == nil {
			t.Error("Dial(inproc) = nil error")
		}
	})
}

// frame returns a ZMTP frame header for size bytes.
func frame(flags byte, size uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | flagLong}, size)
}

func TestHostileFrames(t *testing.T) {
	tests := []struct {
		name string
		sent []byte
	}{
		{"2^62 bytes", frame(0, 1<<62)},
		{"2^63 bytes", frame(0, 1<<63)},
		{"2^64-1 bytes", frame(0, 1<<64-1)},
		{"above the limit", frame(0, 1<<20+1)},
		{"command of 2^62 bytes", frame(flagCommand, 1<<62)},
		{"endless frames", bytes.Repeat([]byte{flagMore, 0}, 1<<20/frameOverhead+2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			endpoint := listen(t, "tcp", func(nc net.Conn) {
				if _, err := Accept(context.Background(), nc, Pub, Options{}); err != nil {
					return
				}
				_, _ = nc.Write(tt.sent)
				_, _ = io.Copy(io.Discard, nc)
			})
			c, err := Dial(t.Context(), endpoint, Sub, "", Options{MaxMessage: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Recv(); !errors.Is(err, ErrTooLarge) {
				t.Errorf("Recv = %v, want ErrTooLarge", err)
			}
			if err := c.Send([][]byte{{1}}); err == nil {
				t.Error("Send after a hostile frame = nil error, want a closed connection")
			}
		})
	}
}

func TestHostileHandshake(t *testing.T) {
	greeting := make([]byte, greetingSize)
	greeting[0], greeting[9], greeting[10] = 0xff, 0x7f, 3
	copy(greeting[12:], "NULL")
	for name, rest := range map[string][]byte{
		"garbage":              bytes.Repeat([]byte("HTTP"), 64),
		"huge READY":           append(bytes.Clone(greeting), frame(flagCommand, 1<<62)...),
		"message before READY": append(bytes.Clone(greeting), frame(0, 1<<29)...),
		"READY cut short":      append(bytes.Clone(greeting), "\x04\x0c\x05READY\xffKeyxx"...),
		"value length lies":    append(bytes.Clone(greeting), "\x04\x0e\x05READY\x03Key\xff\xff\xff\xff"...),
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := listen(t, "tcp", func(nc net.Conn) {
				_, _ = nc.Write(rest)
				_, _ = io.Copy(io.Discard, nc)
			})
			c, err := Dial(t.Context(), endpoint, Dealer, "", Options{HandshakeTimeout: 2 * time.Second})
			if err == nil {
				t.Error("Dial = nil error, want the handshake to fail", c.Close())
			}
		})
	}
}

func TestPingIsAnsweredAndHidden(t *testing.T) {
	pong := make(chan []byte, 1)
	endpoint := listen(t, "tcp", func(nc net.Conn) {
		if _, err := Accept(context.Background(), nc, Router, Options{}); err != nil {
			return
		}
		_, _ = nc.Write([]byte("\x04\x09\x04PING\x00\x64hi" + "\x04\x08\x05OTHER.."))
		_, _ = nc.Write([]byte{0, 1, 'x'})
		got := make([]byte, 9)
		_, _ = io.ReadFull(nc, got)
		pong <- got
	})
	c, err := Dial(t.Context(), endpoint, Dealer, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frames, err := c.Recv()
	if err != nil || len(frames) != 1 || string(frames[0]) != "x" {
		t.Errorf("Recv = %q, %v, want x alone", frames, err)
	}
	if got, want := string(<-pong), "\x04\x07\x04PONGhi"; got != want {
		t.Errorf("answer to PING = %q, want %q", got, want)
	}
}

func TestCloseUnblocksAndLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 50 {
		c, err := Dial(t.Context(), listen(t, "unix", echo), Dealer, "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		received := make(chan error)
		go func() { _, err := c.Recv(); received <- err }()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-received; err == nil {
			t.Fatal("Recv = nil error after Close")
		}
		if err := c.Close(); err != nil {
			t.Fatalf("second Close = %v", err)
		}
	}
	// The 50 listeners are closed at the end of the test; each still has its goroutine.
	if after := runtime.NumGoroutine(); after > before+60 {
		t.Errorf("%d goroutines after, %d before", after, before)
	}
}

// script is a net.Conn whose peer sends fixed bytes, whatever is written to it.
type script struct {
	net.Conn
	in *bytes.Reader
}

func (s script) Read(p []byte) (int, error) { return s.in.Read(p) }
func (script) Write(p []byte) (int, error)  { return len(p), nil }
func (script) SetDeadline(time.Time) error  { return nil }
func (script) Close() error                 { return nil }

// handshakeBytes returns what a ROUTER sends before its first message.
func handshakeBytes() []byte {
	greeting := make([]byte, greetingSize)
	greeting[0], greeting[9], greeting[10] = 0xff, 0x7f, 3
	copy(greeting[12:], "NULL")
	return append(greeting, "\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"...)
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte{0, 1, 'x', flagCommand, 5, 4, 'P', 'I', 'N', 'G'})
	f.Add(append([]byte{flagMore, 0}, frame(0, 1<<62)...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		nc := script{in: bytes.NewReader(append(handshakeBytes(), stream...))}
		c, err := open(context.Background(), nc, Dealer, "", false, Options{MaxMessage: 4096})
		if err != nil {
			t.Fatal(err)
		}
		for {
			frames, err := c.Recv()
			if err != nil {
				return
			}
			if n := len(bytes.Join(frames, nil)); n > 4096 {
				t.Fatalf("message of %d bytes above the limit", n)
			}
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add(handshakeBytes())
	f.Fuzz(func(t *testing.T, stream []byte) {
		c, err := open(context.Background(), script{in: bytes.NewReader(stream)}, Dealer, "", false, Options{MaxMessage: 4096})
		if err == nil {
			_ = c.Close()
		}
	})
}

func BenchmarkRecv(b *testing.B) {
	message := [][]byte{[]byte("topic"), []byte("<IDS|MSG>"), make([]byte, 64), make([]byte, 200), make([]byte, 200), []byte("{}"), make([]byte, 50)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		c, err := Accept(context.Background(), nc, Pub, Options{})
		for err == nil {
			err = c.Send(message)
		}
	}()
	c, err := Dial(b.Context(), "tcp://"+l.Addr().String(), Sub, "", Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if _, err := c.Recv(); err != nil {
			b.Fatal(err)
		}
	}
}
