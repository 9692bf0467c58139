package jupyterapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// minGzip is the size below which an answer is not packed, in bytes.
const minGzip = 1400

// answer is a ResponseWriter that packs text for clients that take gzip, and knows what was sent.
type answer struct {
	http.ResponseWriter
	patience *patience
	zippers  *sync.Pool
	packs    bool // the client takes gzip and the method has a body

	begun  bool
	status int
	sent   int64 // bytes of the body before packing
	zip    *gzip.Writer
}

func newAnswer(w http.ResponseWriter, r *http.Request, p *patience, zippers *sync.Pool) *answer {
	packs := r.Method != http.MethodHead && takesGzip(r.Header.Get("Accept-Encoding"))
	return &answer{ResponseWriter: w, patience: p, zippers: zippers, packs: packs}
}

// out sends bytes as they are.
func (a *answer) out() patientWriter { return patientWriter{a.ResponseWriter, a.patience} }

// takesGzip reads the header Accept-Encoding.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, isQ := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return !isQ || err == nil && weight > 0
		}
	}
	return false
}

// WriteHeader begins the answer. Only the first call counts.
func (a *answer) WriteHeader(status int) {
	if a.begun {
		return
	}
	a.begun, a.status = true, status
	if a.packs && a.worthPacking() {
		h := a.Header()
		h.Del("Content-Length")
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		a.zip = a.zippers.Get().(*gzip.Writer)
		a.zip.Reset(a.out())
	}
	a.patience.answering()
	a.ResponseWriter.WriteHeader(status)
	a.patience.written()
}

func (a *answer) worthPacking() bool {
	h := a.Header()
	if a.status != http.StatusOK && a.status != http.StatusCreated || h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" || h.Get("Accept-Ranges") != "" {
		return false
	}
	if n, err := strconv.Atoi(h.Get("Content-Length")); err == nil && n < minGzip {
		return false
	}
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "json") || strings.HasSuffix(kind, "javascript") || strings.HasSuffix(kind, "+xml")
}

// Write sends a part of the body.
func (a *answer) Write(p []byte) (int, error) {
	if !a.begun {
		if a.Header().Get("Content-Length") == "" && len(p) < minGzip {
			a.packs = false // one small piece; a stream begins with WriteHeader
		}
		a.WriteHeader(http.StatusOK)
	}
	a.sent += int64(len(p))
	if a.zip != nil {
		return a.zip.Write(p)
	}
	return a.out().Write(p)
}

// ReadFrom sends a file in large pieces.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return io.CopyBuffer(struct{ io.Writer }{a}, struct{ io.Reader }{r}, make([]byte, pieceSize))
}

// finish ends the body. An answer that was not begun becomes 200 without a body. What the server has not sent yet leaves after it.
func (a *answer) finish() {
	if !a.begun || a.status != http.StatusSwitchingProtocols {
		defer a.patience.answering()
	}
	if a.zip == nil {
		return
	}
	_ = a.zip.Close() // a client that has gone needs no end
	a.zippers.Put(a.zip)
	a.zip = nil
}

// Hijack gives the connection to a WebSocket.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.begun, a.status = true, http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Flush sends what is there.
func (a *answer) Flush() {
	if a.zip != nil {
		_ = a.zip.Flush() // a later write meets the same error
	}
	a.patience.answering()
	defer a.patience.written()
	_ = http.NewResponseController(a.ResponseWriter).Flush() // the same
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// newZipper returns a writer that spends little time.
func newZipper() *gzip.Writer {
	z, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant of the package itself
	}
	return z
}
