package wire

import (
	"encoding/json"
	"fmt"
)

// Header is the decoded form of a message's header, as the messaging protocol of jupyter_client defines it.
type Header struct {
	MsgID    string `json:"msg_id"`
	Session  string `json:"session"`
	Username string `json:"username"`
	// Date is ISO 8601 with a zone; kept as text, for it is only passed on. Of a header in which it is no text it is empty.
	Date    string `json:"date"`
	MsgType string `json:"msg_type"`
	Version string `json:"version"`
	// SubshellID names the subshell of a protocol 5.5 kernel; empty is the main shell.
	SubshellID string `json:"subshell_id,omitempty"`
}

// field returns where the value of a key belongs, nil for keys that Header leaves out.
func (h *Header) field(key string) *string {
	switch key {
	case "msg_id":
		return &h.MsgID
	case "session":
		return &h.Session
	case "username":
		return &h.Username
	case "date":
		return &h.Date
	case "msg_type":
		return &h.MsgType
	case "version":
		return &h.Version
	case "subshell_id":
		return &h.SubshellID
	default:
		return nil
	}
}

// decodeHeader reads a header by the exact spelling of its keys: encoding/json also takes "MSG_TYPE" for "msg_type",
// and what is checked here must be what the kernel reads.
func decodeHeader(raw []byte) (Header, error) {
	if h, ok := scanHeader(raw); ok {
		return h, nil
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return Header{}, fmt.Errorf("header: %w: %w", ErrMalformed, err)
	}
	var h Header
	for key, value := range fields {
		field := h.field(key)
		if field == nil || value == nil {
			continue
		}
		text, ok := value.(string)
		if !ok && key == "date" {
			continue // some clients send seconds
		}
		if !ok {
			return Header{}, fmt.Errorf("header field %s is a %T: %w", key, value, ErrMalformed)
		}
		*field = text
	}
	return h, nil
}

// scanHeader reads the headers that are plain: one object whose keys and values are strings of printable ASCII
// without escapes. Nearly all are, and two are read for every message, so this is ten times as fast as a parser.
func scanHeader(raw []byte) (h Header, ok bool) {
	s := scanner{rest: raw}
	if !s.byte('{') {
		return h, false
	}
	for first := true; !s.byte('}'); first = false {
		if !first && !s.byte(',') {
			return h, false
		}
		key, ok := s.string()
		if !ok || !s.byte(':') {
			return h, false
		}
		value, ok := s.string()
		if !ok {
			return h, false
		}
		if field := h.field(string(key)); field != nil {
			*field = string(value)
		}
	}
	s.space()
	return h, len(s.rest) == 0
}

// scanner reads plain JSON from the front of rest.
type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\n' || s.rest[0] == '\r' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
}

// byte takes c, after any space, if it comes next.
func (s *scanner) byte(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// string takes a string of printable ASCII without escapes.
func (s *scanner) string() ([]byte, bool) {
	if !s.byte('"') {
		return nil, false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text, true
		case c < ' ' || c > '~' || c == '\\':
			return nil, false
		}
	}
	return nil, false
}
