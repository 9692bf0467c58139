package zmqconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sizes and flag bits of ZMTP 3.0 (RFC 23).
const (
	greetingSize = 64
	flagMore     = 1
	flagLong     = 2
	flagCommand  = 4

	// maxCommand limits commands, READY among them; real ones are far below 1 KiB.
	maxCommand = 64 << 10
	// frameOverhead is what an empty frame counts towards the message limit, so that a message of endless empty
	// frames ends too.
	frameOverhead = 64
)

// errNotReady is the failure of a peer that sends messages before it has finished the handshake.
var errNotReady = errors.New("message before READY")

// frameParser follows where in the ZMTP stream the reader is.
type frameParser struct {
	greeted int   // bytes of the greeting handed on
	ready   bool  // the handshake's one command was handed on
	pass    int64 // bytes of checked frames that may be handed on unseen
	header  []byte
	message int64 // bytes of the current message so far
}

// Read hands on the greeting, the READY command and message frames; later commands are answered or swallowed here.
func (f *filteredConn) Read(p []byte) (int, error) {
	s := &f.parser
	if s.greeted < greetingSize {
		n, err := f.in.Read(p[:min(len(p), greetingSize-s.greeted)])
		s.greeted += n
		return n, err
	}
	for len(s.header) == 0 && s.pass == 0 {
		if err := f.nextFrame(); err != nil {
			return 0, err
		}
	}
	if len(s.header) > 0 {
		n := copy(p, s.header)
		s.header = s.header[n:]
		return n, nil
	}
	n, err := f.in.Read(p[:min(int64(len(p)), s.pass)])
	s.pass -= int64(n)
	return n, err
}

// nextFrame reads one frame header, checks it, and leaves it in parser.header, or consumes a whole command.
func (f *filteredConn) nextFrame() error {
	s := &f.parser
	raw, err := f.readHeader()
	if err != nil {
		return err
	}
	flags, size := raw[0], frameSize(raw)
	if flags&flagCommand != 0 {
		if size > maxCommand {
			return f.fail(fmt.Errorf("command of %d bytes: %w", size, ErrTooLarge))
		}
		if s.ready {
			return f.answer(int(size))
		}
		s.ready = true
	} else if err := f.countFrame(size, flags&flagMore != 0); err != nil {
		return f.fail(err)
	}
	s.header, s.pass = raw, int64(size)
	return nil
}

// countFrame adds a frame to its message and refuses the one that is too much.
func (f *filteredConn) countFrame(size uint64, more bool) error {
	s := &f.parser
	if !s.ready {
		return fmt.Errorf("frame of %d bytes: %w", size, errNotReady)
	}
	if s.message > f.limit || size > uint64(f.limit-s.message) {
		return fmt.Errorf("frame of %d bytes after %d: %w", size, s.message, ErrTooLarge)
	}
	s.message += int64(size) + frameOverhead
	if !more {
		s.message = 0
	}
	return nil
}

// readHeader reads the 2 or 9 bytes before a frame's body.
func (f *filteredConn) readHeader() ([]byte, error) {
	var raw [9]byte
	if _, err := io.ReadFull(f.in, raw[:2]); err != nil {
		return nil, err
	}
	if raw[0]&flagLong == 0 {
		return raw[:2], nil
	}
	if _, err := io.ReadFull(f.in, raw[2:]); err != nil {
		return nil, err
	}
	return raw[:], nil
}

func frameSize(header []byte) uint64 {
	if len(header) == 2 {
		return uint64(header[1])
	}
	return binary.BigEndian.Uint64(header[1:])
}

// answer consumes the body of a command after the handshake and replies to a PING with its context.
func (f *filteredConn) answer(size int) error {
	body := make([]byte, size)
	if _, err := io.ReadFull(f.in, body); err != nil {
		return err
	}
	const ping = "\x04PING"
	if len(body) < len(ping)+2 || string(body[:len(ping)]) != ping {
		return nil
	}
	context := body[len(ping)+2:] // after the time to live
	if len(context) > 16 {
		return nil // not a PING that the RFC allows
	}
	pong := append([]byte{flagCommand, byte(5 + len(context))}, "\x04PONG"...)
	// While a Send is under way its bytes tell the peer that this end lives, and waiting for it here could hold up
	// the reading that the peer waits for.
	if !f.mu.TryLock() {
		return nil
	}
	defer f.mu.Unlock()
	if _, err := f.out.Write(append(pong, context...)); err != nil {
		return err
	}
	return f.out.Flush()
}
