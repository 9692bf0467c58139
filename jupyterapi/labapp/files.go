package labapp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp/internal/archive"
)

// gzipFrom is the size in bytes from which an answer is compressed.
const gzipFrom = 1400

// How long clients may keep a file: for ever when its name holds a checksum of its content, else only with asking again.
const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheAskFor  = "no-cache"
)

// hashedName matches the names that the front end's bundler derives from a file's content.
var hashedName = regexp.MustCompile(`(^|\.)[0-9a-f]{16,64}\.[a-z0-9]+$`)

// contentTypes are the types of all the kinds of files that front ends are made of. Clients are told not to guess.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".eot":   "application/vnd.ms-fontobject",
	".gif":   "image/gif",
	".html":  "text/html; charset=utf-8",
	".ico":   "image/x-icon",
	".jpeg":  "image/jpeg",
	".jpg":   "image/jpeg",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".map":   "application/json",
	".md":    "text/markdown; charset=utf-8",
	".mjs":   "text/javascript; charset=utf-8",
	".otf":   "font/otf",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".ttf":   "font/ttf",
	".txt":   "text/plain; charset=utf-8",
	".wasm":  "application/wasm",
	".webp":  "image/webp",
	".woff":  "font/woff",
	".woff2": "font/woff2",
}

// compressed are the extensions of contents that are compressed already.
var compressed = map[string]bool{".gif": true, ".jpeg": true, ".jpg": true, ".png": true, ".webp": true, ".woff": true, ".woff2": true}

// contentType returns the type of a file by its name.
func contentType(name string) string {
	if t, ok := contentTypes[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return "application/octet-stream"
}

// serveFile answers with a file of f. A name that leads out of f, into a folder or nowhere is 404.
func (h *Handler) serveFile(w http.ResponseWriter, r *http.Request, f folder, name string) {
	if f.fsys == nil || !fs.ValidPath(name) {
		h.refuse(w, r, "")
		return
	}
	file, err := f.fsys.Open(f.path(name))
	if err != nil {
		h.refuseFile(w, r, err)
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		h.refuseFile(w, r, err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", contentType(name))
	header.Set("Cache-Control", cacheAskFor)
	if hashedName.MatchString(path.Base(name)) {
		header.Set("Cache-Control", cacheForever)
	}
	frame, packed := storedFrame(f, name)
	tag := fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())
	if packed {
		tag = frame.Sum[:min(32, len(frame.Sum))]
	}
	if notModified(w, r, tag) {
		return
	}
	if packed && accepts(r, "zstd") {
		sendEncoded(w, r, "zstd", frame.Size(), frame)
		return
	}
	h.send(w, r, info.Size(), file, info.Size() >= gzipFrom && !compressed[path.Ext(name)])
}

// refuseFile answers 404 for a file that cannot be opened, and logs errors that are not the client's.
func (h *Handler) refuseFile(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.log.WarnContext(r.Context(), "file not served", "path", r.URL.Path, "err", err)
	}
	h.refuse(w, r, "")
}

// storedFrame returns a file as it is stored in an archive.
func storedFrame(f folder, name string) (archive.Frame, bool) {
	tree, ok := f.fsys.(*archive.FS)
	if !ok {
		return archive.Frame{}, false
	}
	return tree.Frame(f.path(name))
}

// notModified sets the entity tag of an answer. It answers 304 and reports true when the client has that content already.
// The tag is weak, for it is the same in every encoding.
func notModified(w http.ResponseWriter, r *http.Request, tag string) bool {
	tag = `"` + tag + `"`
	w.Header().Set("ETag", "W/"+tag)
	w.Header().Set("Vary", "Accept-Encoding")
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		known = strings.TrimPrefix(strings.TrimSpace(known), "W/")
		if known == tag || known == "*" {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// send answers 200 with size bytes of body, through gzip if compress is set and the client takes it.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, size int64, body io.Reader, compress bool) {
	header := w.Header()
	header.Set("Vary", "Accept-Encoding")
	if !compress || !accepts(r, "gzip") {
		sendEncoded(w, r, "", size, body)
		return
	}
	header.Set("Content-Encoding", "gzip")
	if r.Method == http.MethodHead {
		return
	}
	zip, ok := h.gzips.Get().(*gzip.Writer)
	if !ok {
		zip = gzip.NewWriter(nil)
	}
	defer h.gzips.Put(zip)
	zip.Reset(w)
	if _, err := io.Copy(zip, body); err != nil {
		return // without its end the stream is incomplete, which the client sees
	}
	_ = zip.Close() // fails only when the client has gone
}

// sendEncoded answers 200 with size bytes that have the given content encoding, "" for none.
func sendEncoded(w http.ResponseWriter, r *http.Request, encoding string, size int64, body io.Reader) {
	if encoding != "" {
		w.Header().Set("Content-Encoding", encoding)
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.Copy(w, body) // a short answer breaks the promised length, which the client sees
}

// accepts reports whether the client takes an encoding, as Accept-Encoding says (RFC 9110, section 12.5.3).
func accepts(r *http.Request, encoding string) bool {
	any := false
	for item := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(item, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != encoding && name != "*" {
			continue
		}
		wanted := true
		if q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			weight, err := strconv.ParseFloat(q, 64)
			wanted = err == nil && weight > 0
		}
		if name == encoding {
			return wanted
		}
		any = wanted
	}
	return any
}

// serveStatic answers with a file of the application's bundle.
func (h *Handler) serveStatic(w http.ResponseWriter, r *http.Request, rest string) {
	h.serveFile(w, r, h.app.sub("static"), rest)
}

// serveIcon answers with one of the drawn icons; the page's favicons and the logo lie in one folder.
func (h *Handler) serveIcon(w http.ResponseWriter, r *http.Request, rest string) {
	h.serveFile(w, r, h.icons, rest)
}

// serveFavicon answers with the icon that browsers ask for unbidden.
func (h *Handler) serveFavicon(w http.ResponseWriter, r *http.Request, _ string) {
	h.serveFile(w, r, h.icons, "favicon.ico")
}
