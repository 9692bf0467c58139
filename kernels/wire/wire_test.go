package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// sample returns a message that uses every part.
func sample(buffers ...[]byte) Message {
	return Message{
		Channel:      Shell,
		Header:       []byte(`{"msg_id":"a_1","session":"s","username":"u","date":"2026-01-02T03:04:05Z","msg_type":"execute_request","version":"5.3","extra":1.50}`),
		ParentHeader: []byte(`{}`),
		Metadata:     []byte(`{"deletedCells":[]}`),
		Content:      []byte(`{"code":"1 + 1","n":1e400}`),
		Buffers:      buffers,
	}
}

// v1 builds a frame from an offset count, offsets and a body, so that each of them may be wrong.
func v1(n uint64, offsets []uint64, body string) []byte {
	f := binary.LittleEndian.AppendUint64(nil, n)
	for _, o := range offsets {
		f = binary.LittleEndian.AppendUint64(f, o)
	}
	return append(f, body...)
}

func equal(a, b Message) bool {
	if len(a.Buffers) == 0 && len(b.Buffers) == 0 {
		a.Buffers, b.Buffers = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestV1RoundTrip(t *testing.T) {
	for _, m := range []Message{sample(), sample([]byte{0, 1, 2}), sample([]byte{}, []byte("x"))} {
		got, err := DecodeV1(EncodeV1(m))
		if err != nil || !equal(got, m) {
			t.Errorf("DecodeV1(EncodeV1(%v)) = %v, %v", m, got, err)
		}
	}
}

func TestV1Layout(t *testing.T) {
	m := Message{Channel: Shell, Header: []byte(`{"a":1}`), Content: []byte(`{}`)}
	want := v1(6, []uint64{56, 61, 68, 70, 72, 74}, `shell{"a":1}{}{}{}`)
	if got := EncodeV1(m); !bytes.Equal(got, want) {
		t.Errorf("EncodeV1(%v) = %q, want %q", m, got, want)
	}
}

func TestDecodeV1Rejects(t *testing.T) {
	good := []uint64{56, 61, 63, 65, 67, 69}
	tests := []struct {
		name  string
		frame []byte
		want  error
	}{
		{"empty", nil, ErrMalformed},
		{"text frame", []byte(`{"channel":"shell","header":{}}`), ErrMalformed},
		{"more than 2^20 offsets", v1(1<<20+1, make([]uint64, 1<<20+2), ""), ErrMalformed},
		{"count beyond the frame", v1(7, good, "shell{}{}{}{}"), ErrMalformed},
		{"count overflows", v1(1<<63, good, "shell{}{}{}{}"), ErrMalformed},
		{"too few parts", v1(5, []uint64{48, 53, 55, 57, 59}, "shell{}{}{}"), ErrMalformed},
		{"offsets not monotonic", v1(6, []uint64{56, 61, 60, 65, 67, 69}, "shell{}{}{}{}"), ErrMalformed},
		{"offset beyond the frame", v1(6, []uint64{56, 61, 63, 65, 67, 70}, "shell{}{}{}{}"), ErrMalformed},
		{"offset overflows", v1(6, []uint64{56, 61, 63, 65, 67, 1 << 63}, "shell{}{}{}{}"), ErrMalformed},
		{"first offset in the table", v1(6, []uint64{8, 61, 63, 65, 67, 69}, "shell{}{}{}{}"), ErrMalformed},
		{"unknown channel", v1(6, good, "shelf{}{}{}{}"), ErrChannel},
		{"iopub", v1(6, good, "iopub{}{}{}{}"), ErrChannel},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := DecodeV1(tt.frame); !errors.Is(err, tt.want) {
				t.Errorf("DecodeV1(%.80q) = %v, %v, want %v", tt.frame, m, err, tt.want)
			}
		})
	}
}

func TestDecodeV1WithoutChannelMeansShell(t *testing.T) {
	m, err := DecodeV1(v1(6, []uint64{56, 56, 58, 60, 62, 64}, "{}{}{}{}"))
	if err != nil || m.Channel != Shell {
		t.Errorf("DecodeV1(no channel) = %q, %v, want shell", m.Channel, err)
	}
}

func TestLegacyRoundTrip(t *testing.T) {
	for _, m := range []Message{sample(), sample([]byte{0, 255}), sample([]byte{}, []byte("x"))} {
		frame, isBinary, err := EncodeLegacy(m)
		if err != nil || isBinary != (len(m.Buffers) > 0) {
			t.Fatalf("EncodeLegacy(%v) = %q, %v, %v", m, frame, isBinary, err)
		}
		decode := DecodeLegacyText
		if isBinary {
			decode = DecodeLegacyBinary
		}
		if got, err := decode(frame); err != nil || !equal(got, m) {
			t.Errorf("decoded legacy frame = %v, %v, want %v", got, err, m)
		}
	}
}

func TestEncodeLegacyKeys(t *testing.T) {
	frame, _, err := EncodeLegacy(sample())
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(frame, &keys); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"msg_id": `"a_1"`, "msg_type": `"execute_request"`, "channel": `"shell"`, "buffers": `[]`, "parent_header": `{}`,
	} {
		if got := string(keys[key]); got != want {
			t.Errorf("legacy frame[%s] = %s, want %s", key, got, want)
		}
	}
	if len(keys) != 8 {
		t.Errorf("legacy frame has %d keys, want 8", len(keys))
	}
}

func TestEncodeLegacyRefusesWhatIsNotJSON(t *testing.T) {
	m := sample()
	m.Content = []byte(`{"a":NaN}`)
	if _, _, err := EncodeLegacy(m); !errors.Is(err, ErrMalformed) {
		t.Errorf("EncodeLegacy(NaN) = %v, want ErrMalformed", err)
	}
}

func TestDecodeLegacyRejects(t *testing.T) {
	text := `{"channel":"shell","header":{"msg_id":"1"},"content":{}}`
	head := func(n int, offsets ...uint32) []byte {
		f := binary.BigEndian.AppendUint32(nil, uint32(n))
		for _, o := range offsets {
			f = binary.BigEndian.AppendUint32(f, o)
		}
		return append(f, text...)
	}
	if _, err := DecodeLegacyBinary(head(1, 8)); err != nil {
		t.Fatalf("DecodeLegacyBinary(one part) = %v", err)
	}
	tests := []struct {
		name   string
		decode func([]byte) (Message, error)
		frame  []byte
		want   error
	}{
		{"not JSON", DecodeLegacyText, []byte(`{`), ErrMalformed},
		{"no header", DecodeLegacyText, []byte(`{"channel":"shell"}`), ErrMalformed},
		{"header is null", DecodeLegacyText, []byte(`{"channel":"shell","header":null}`), ErrMalformed},
		{"unknown channel", DecodeLegacyText, []byte(`{"channel":"hb","header":{}}`), ErrChannel},
		{"short", DecodeLegacyBinary, []byte{0, 0}, ErrMalformed},
		{"no part", DecodeLegacyBinary, head(0), ErrMalformed},
		{"count beyond the frame", DecodeLegacyBinary, head(1000, 8), ErrMalformed},
		{"offset in the table", DecodeLegacyBinary, head(1, 4), ErrMalformed},
		{"offset beyond the frame", DecodeLegacyBinary, head(2, 12, 4000), ErrMalformed},
		{"offsets not monotonic", DecodeLegacyBinary, head(2, 40, 12), ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := tt.decode(tt.frame); !errors.Is(err, tt.want) {
				t.Errorf("decode(%.60q) = %v, %v, want %v", tt.frame, m, err, tt.want)
			}
		})
	}
}

func TestSessionSignsAsTheProtocolSays(t *testing.T) {
	s := NewSession([]byte("key"), "u")
	m := Message{Header: []byte(`{"msg_id":"1"}`), ParentHeader: []byte(`{}`), Metadata: []byte(`{}`), Content: []byte(`{"a":1}`)}
	// python: hmac.new(b"key", b'{"msg_id":"1"}{}{}{"a":1}', "sha256").hexdigest()
	const want = "b5c3f3f2ae4bdd60a1ea8475a37961c8cc8853392dcee28a7c72f2463bd7f890"
	frames := s.Encode(m, []byte("id"))
	if got := string(frames[2]); got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
	if string(frames[0]) != "id" || string(frames[1]) != "<IDS|MSG>" || len(frames) != 7 {
		t.Errorf("frames = %q", frames)
	}
}

func TestSessionVerifies(t *testing.T) {
	s := NewSession([]byte("key"), "u")
	frames := func(change func(f [][]byte) [][]byte) [][]byte {
		f := s.Encode(sample([]byte("buf")), []byte("topic"))
		if change == nil {
			return f
		}
		return change(f)
	}
	tests := []struct {
		name   string
		frames [][]byte
		want   error
	}{
		{"untouched", frames(nil), nil},
		{"content changed", frames(func(f [][]byte) [][]byte { f[6] = []byte("{}"); return f }), ErrSignature},
		{"signature missing", frames(func(f [][]byte) [][]byte { f[2] = nil; return f }), ErrSignature},
		{"no delimiter", frames(func(f [][]byte) [][]byte { f[1] = []byte("x"); return f }), ErrMalformed},
		{"frames missing", frames(func(f [][]byte) [][]byte { return f[:6] }), ErrMalformed},
		{"ZMTP ping", [][]byte{[]byte("\x04PING\x00\x00")}, ErrMalformed},
		{"nothing", nil, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := s.Decode(Shell, tt.frames)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Decode = %v, %v, want %v", m, err, tt.want)
			}
			if err == nil && !equal(m, sample([]byte("buf"))) {
				t.Errorf("Decode = %v, want the message that was encoded", m)
			}
		})
	}
}

func TestEmptyKeyLeavesMessagesUnsigned(t *testing.T) {
	s := NewSession(nil, "u")
	frames := s.Encode(sample())
	if len(frames[1]) != 0 {
		t.Errorf("signature = %q, want empty", frames[1])
	}
	if _, err := s.Decode(IOPub, frames); err != nil {
		t.Errorf("Decode(unsigned) = %v", err)
	}
}

func TestRequestsHaveUniqueIDs(t *testing.T) {
	s := NewSession(nil, "alice")
	seen := map[string]bool{}
	for range 100 {
		m, err := s.Request(Control, "kernel_info_request", struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := m.DecodeHeader()
		if err != nil || seen[h.MsgID] || h.Session != s.ID() || h.Username != "alice" || h.MsgType != "kernel_info_request" {
			t.Fatalf("header = %+v, %v", h, err)
		}
		seen[h.MsgID] = true
	}
}

func TestFromClient(t *testing.T) {
	tests := []struct {
		name, header, parent         string
		wantHeader, wantParent, date string
	}{
		{"another user", `{"username":"m", "extra":1.50,"msg_id":"1"}`, `{}`, `{"extra":1.50,"msg_id":"1","username":"ada\""}`, `{}`, ""},
		{"nothing to change", `{ "msg_id":"1","username":"ada\"","date":"2026-01-02T03:04:05.000000Z"}`, `{"a": 1}`,
			`{ "msg_id":"1","username":"ada\"","date":"2026-01-02T03:04:05.000000Z"}`, `{"a": 1}`, "2026-01-02T03:04:05.000000Z"},
		{"dates as seconds", `{"msg_id":"1","username":"ada\"","date":1767323045.25}`, `{"date": 1767323045,"msg_id":"0"}`,
			`{"date":"2026-01-02T03:04:05.250000Z","msg_id":"1","username":"ada\""}`, `{"date":"2026-01-02T03:04:05.000000Z","msg_id":"0"}`, "2026-01-02T03:04:05.250000Z"},
		{"no date", `{"msg_id":"1","username":"ada\"","date":null}`, `{"date":null}`, `{"msg_id":"1","username":"ada\"","date":null}`, `{"date":null}`, ""},
		{"impossible date", `{"msg_id":"1","username":"ada\"","date":1e300}`, `{}`, `{"msg_id":"1","username":"ada\"","date":1e300}`, `{}`, ""},
		{"no parent", `{"msg_id":"1"}`, ``, `{"msg_id":"1","username":"ada\""}`, ``, ""},
		{"a parent that is no object", `{"msg_id":"1"}`, `[1]`, `{"msg_id":"1","username":"ada\""}`, `[1]`, ""},
	}
	for _, tt := range tests {
		m, err := (Message{Header: []byte(tt.header), ParentHeader: []byte(tt.parent)}).FromClient(`ada"`)
		if err != nil || string(m.Header) != tt.wantHeader || string(m.ParentHeader) != tt.wantParent {
			t.Errorf("%s: FromClient() = %s, %s, %v, want %s, %s", tt.name, m.Header, m.ParentHeader, err, tt.wantHeader, tt.wantParent)
		}
		h, err := m.DecodeHeader()
		if err != nil || h.Username != `ada"` || h.MsgID != "1" || h.Date != tt.date {
			t.Errorf("%s: header = %+v, %v, want date %q", tt.name, h, err, tt.date)
		}
	}
	if _, err := (Message{Header: []byte(`[]`)}).FromClient("x"); !errors.Is(err, ErrMalformed) {
		t.Errorf("FromClient of an array = %v, want ErrMalformed", err)
	}
}

func TestDateThatIsNoText(t *testing.T) {
	m := Message{Header: []byte(`{"msg_id":"1","date":1767323045.25}`)}
	if h, err := m.DecodeHeader(); err != nil || h.MsgID != "1" || h.Date != "" {
		t.Errorf("DecodeHeader() = %+v, %v, want id 1 and no date", h, err)
	}
	m.Header = []byte(`{"msg_id":1}`)
	if _, err := m.DecodeHeader(); !errors.Is(err, ErrMalformed) {
		t.Errorf("DecodeHeader() with a number as id = %v, want ErrMalformed", err)
	}
}

func FuzzDecodeV1(f *testing.F) {
	f.Add(EncodeV1(sample([]byte("b"))))
	f.Add(v1(6, []uint64{56, 61, 60, 65, 67, 69}, "shell{}{}{}{}"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := DecodeV1(frame)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrChannel) {
				t.Fatalf("DecodeV1 = %v", err)
			}
			return
		}
		if again, err := DecodeV1(EncodeV1(m)); err != nil || again.Channel != m.Channel || len(again.Buffers) != len(m.Buffers) {
			t.Fatalf("second round = %v, %v, want %v", again, err, m)
		}
	})
}

func FuzzDecodeLegacyText(f *testing.F) {
	f.Add([]byte(`{"channel":"shell","header":{"msg_id":"1"},"content":{}}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := DecodeLegacyText(frame)
		if err == nil && !json.Valid(m.Header) {
			t.Fatalf("header %q is not JSON", m.Header)
		}
	})
}

func FuzzDecodeLegacyBinary(f *testing.F) {
	frame, _, err := EncodeLegacy(sample([]byte("b"), []byte("c")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := DecodeLegacyBinary(frame)
		if err == nil && m.Size() > len(frame)+6 { // three absent objects become {}
			t.Fatalf("message of %d bytes from %d", m.Size(), len(frame))
		}
	})
}

func FuzzSessionDecode(f *testing.F) {
	f.Add([]byte("id\x1f<IDS|MSG>\x1f\x1f{}\x1f{}\x1f{}\x1f{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := NewSession(nil, "")
		m, err := s.Decode(IOPub, bytes.Split(raw, []byte{0x1f}))
		if err != nil {
			return
		}
		if _, err := m.DecodeHeader(); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("DecodeHeader = %v", err)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	for _, seed := range []string{
		`{"msg_id": "1", "session":"s" , "date":"d"}`, `{}`, ` { } `, `{,}`, `{"msg_id":"a",}`, `{"msg_id":"\u00e9"}`, `{"msg_id":null}`, `{"a":"b"}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		quick, ok := scanHeader(raw)
		if !ok {
			return
		}
		var fields map[string]any
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatalf("scanHeader(%q) accepts what is no JSON: %v", raw, err)
		}
		for key, value := range fields {
			if field := quick.field(key); field != nil && *field != value {
				t.Fatalf("scanHeader(%q) has %s = %q, want %q", raw, key, *field, value)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	s := NewSession([]byte("key"), "u")
	frames := s.Encode(sample(), []byte("topic"))
	b.ReportAllocs()
	for b.Loop() {
		m, err := s.Decode(IOPub, frames)
		if err != nil {
			b.Fatal(err)
		}
		EncodeV1(m)
	}
}

func TestDecodeHeaderTakesKeysExactly(t *testing.T) {
	m := Message{Header: []byte(`{"msg_type":"execute_request","MSG_TYPE":"kernel_info_request","subshell_id":null}`)}
	if h, err := m.DecodeHeader(); err != nil || h.MsgType != "execute_request" {
		t.Errorf("DecodeHeader = %+v, %v, want execute_request", h, err)
	}
	m.Header = []byte(`{"msg_id":1}`)
	if h, err := m.DecodeHeader(); !errors.Is(err, ErrMalformed) {
		t.Errorf("DecodeHeader(number as id) = %+v, %v, want ErrMalformed", h, err)
	}
}

func BenchmarkDecodeHeader(b *testing.B) {
	m, err := NewSession(nil, "alice").Request(Shell, "execute_request", struct{}{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.DecodeHeader(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestConnection(t *testing.T) {
	const file = `{"shell_port":1,"iopub_port":2,"stdin_port":3,"control_port":4,"hb_port":5,"ip":"%s","key":"k","transport":"%s","signature_scheme":"hmac-sha256"}`
	for _, tt := range []struct{ transport, ip, shell, heartbeat string }{
		{"tcp", "127.0.0.1", "tcp://127.0.0.1:1", "tcp://127.0.0.1:5"},
		{"ipc", "/run/k", "ipc:///run/k-1", "ipc:///run/k-5"},
	} {
		raw := strings.Replace(strings.Replace(file, "%s", tt.ip, 1), "%s", tt.transport, 1)
		c, err := ParseConnection([]byte(raw))
		if err != nil || c.Endpoint(Shell) != tt.shell || c.Heartbeat() != tt.heartbeat || c.Endpoint("hb") != "" {
			t.Errorf("ParseConnection(%s) = %+v, %v", raw, c, err)
		}
	}
	for _, raw := range []string{``, `[]`, `{"transport":"udp"}`} {
		if c, err := ParseConnection([]byte(raw)); err == nil {
			t.Errorf("ParseConnection(%q) = %+v, want an error", raw, c)
		}
	}
}
