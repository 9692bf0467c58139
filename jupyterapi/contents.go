package jupyterapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// contentsQuery is what a GET asks for.
type contentsQuery struct {
	kind    string // directoryType, notebookType, fileType or "" = as it is
	format  string // text, base64 or "" = as it is
	content bool
	hash    bool
}

func (c *call) contentsQuery() (q contentsQuery, err error) {
	if c.query.Has("type") {
		q.kind = knownType(c.query.Get("type"))
	}
	q.format = c.query.Get("format")
	if q.format != "" && q.format != "text" && q.format != "base64" {
		return q, failed(http.StatusBadRequest, "Format '"+q.format+"' is invalid")
	}
	if q.content, err = c.flag("content", true, "Content '%s' is invalid"); err != nil {
		return q, err
	}
	q.hash, err = c.flag("hash", false, "Hash argument '%s' is invalid. It must be '0' or '1'.")
	return q, err
}

// flag reads an argument that is 0 or 1.
func (c *call) flag(key string, def bool, complaint string) (bool, error) {
	if !c.query.Has(key) {
		return def, nil
	}
	switch v := c.query.Get(key); v {
	case "0", "1":
		return v == "1", nil
	default:
		return false, failed(http.StatusBadRequest, strings.ReplaceAll(complaint, "%s", v))
	}
}

// knownType returns a type as Jupyter takes it: what it does not know is a file.
func knownType(s string) string {
	if s == directoryType || s == notebookType {
		return s
	}
	return fileType
}

// hidden reports whether p is out of sight: a name that begins with a dot.
func (c *call) hidden(p fs.Path) bool {
	if c.s.opts.AllowHidden {
		return false
	}
	return strings.HasPrefix(string(p), ".") || strings.Contains(string(p), "/.")
}

// missing is the answer for what is not there, or must seem so.
func missing(p fs.Path) error {
	return failed(http.StatusNotFound, "file or directory '/"+string(p)+"' does not exist")
}

// absent reports whether an error of looking a path up is shown as "not found": links that lead out of the drive too.
func absent(err error) bool {
	switch fs.KindOf(err) {
	case fs.NotExist, fs.Permission, fs.NotDir, fs.Invalid, fs.Name, fs.NameTooLong:
		return true
	default:
		return false
	}
}

// stat looks up what a reader asked for.
func (c *call) stat(p fs.Path) (fs.Entry, error) {
	if c.hidden(p) {
		return fs.Entry{}, missing(p)
	}
	e, err := c.view.Stat(c.ctx(), p)
	if err != nil && absent(err) {
		return e, missing(p)
	}
	return e, err
}

// exists reports whether there is something at p that the caller may see.
func (c *call) exists(p fs.Path) (fs.Entry, bool, error) {
	e, err := c.view.Stat(c.ctx(), p)
	switch {
	case err == nil:
		return e, true, nil
	case absent(err):
		return e, false, nil
	}
	return e, false, err
}

// condition is what a client demands of the file before it is changed.
type condition struct {
	sent     bool
	version  fs.Version // "" = none
	ifAbsent bool
}

var errPrecondition = failed(http.StatusPreconditionFailed, "The file has changed since it was read")

// condition reads If-Match and If-None-Match, which hold hashes as in ETag, and checks them against the file as it is.
func (c *call) condition(p fs.Path) (condition, error) {
	match, none := c.r.Header.Get("If-Match"), c.r.Header.Get("If-None-Match")
	if match == "" && none == "" {
		return condition{}, nil
	}
	c.lookAnew()
	e, there, err := c.exists(p)
	if err != nil {
		return condition{}, err
	}
	cond := condition{sent: true, ifAbsent: none == "*" && !there}
	if !there {
		if match != "" {
			return cond, errPrecondition
		}
		return cond, nil
	}
	if none == "*" {
		return cond, errPrecondition
	}
	if e.Attr.Type() != fs.File {
		return cond, nil
	}
	sum, version, err := c.sum(p)
	if err != nil {
		return cond, err
	}
	if match != "" && !hasTag(match, sum) || none != "" && hasTag(none, sum) {
		return cond, errPrecondition
	}
	cond.version = version
	return cond, nil
}

// lookAnew has what the rest of the request says of files be what their stores have now: who compares it with what he has read means to
// overwrite it.
func (c *call) lookAnew() { c.r = c.r.WithContext(fs.WithSince(c.ctx(), time.Now())) }

// hasTag reports whether a list of entity tags names the hash. A proxy that packs answers makes tags weak, or marks them.
func hasTag(list, sum string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		tag = strings.TrimSuffix(strings.Trim(tag, `"`), "-gzip")
		if tag == "*" || tag == sum {
			return true
		}
	}
	return false
}

// replaced turns the error of a save into the API's answer.
func (c *call) saveError(p fs.Path, cond condition, err error) error {
	switch fs.KindOf(err) {
	case fs.Conflict, fs.Stale:
		if cond.sent {
			return errPrecondition
		}
	case fs.Exist:
		if cond.ifAbsent {
			return errPrecondition
		}
	case fs.Permission, fs.ReadOnly:
		return &failure{status: http.StatusForbidden, message: "Permission denied: " + string(p), err: err}
	case fs.NotExist, fs.NotDir:
		if p.Dir() == "" { // the top folder is always there: it takes no names because it holds the drives
			return &failure{status: http.StatusForbidden, err: err,
				message: "The top folder holds only drives: " + string(p) + " (choose a folder inside a drive)"}
		}
		return &failure{status: http.StatusNotFound, message: "No such directory: " + string(p.Dir()), err: err}
	default:
	}
	return err
}

// getContents answers GET /api/contents{path}.
func getContents(c *call) error {
	p, err := c.path()
	if err != nil {
		return err
	}
	q, err := c.contentsQuery()
	if err != nil {
		return err
	}
	e, err := c.stat(p)
	if err != nil {
		return err
	}
	m := c.model(c.ctx(), p, e.Attr)
	if err := checkType(&m, q.kind); err != nil {
		return err
	}
	if m.kind == directoryType {
		return c.getDirectory(m, q)
	}
	var hashed fs.Version
	if q.hash {
		if !q.content { // JupyterLab asks so before it saves
			c.lookAnew()
		}
		if m.hash, hashed, err = c.sum(p); err != nil {
			return c.openError(p, err)
		}
		if hashed != m.attr.Version {
			if e, err = c.stat(p); err != nil {
				return err
			}
			hash := m.hash
			m = c.model(c.ctx(), p, e.Attr)
			if err := checkType(&m, q.kind); err != nil {
				return err
			}
			m.hash = hash
		}
		if hasTag(c.r.Header.Get("If-None-Match"), m.hash) {
			m.headers(c)
			return c.noContent(http.StatusNotModified)
		}
	}
	if q.content {
		err = again(func() error { return c.getContent(m, q, hashed) })
	} else {
		m.headers(c)
		err = c.replyJSON(http.StatusOK, m.append(nil))
	}
	c.s.publishContents("get", p, "")
	return err
}

// again reads once more if others have replaced the file in the middle, before anything was sent of it: what is opened then is what there is now.
func again(read func() error) error {
	err := read()
	if err != nil && fs.KindOf(err) == fs.Stale {
		err = read()
	}
	return err
}

// checkType compares what there is with what was asked for, and takes over the type that was asked for.
func checkType(m *model, want string) error {
	bad := func(what string) error { return because(http.StatusBadRequest, string(m.path)+what, "bad type") }
	isDir := m.kind == directoryType
	switch {
	case !isDir && m.attr.Type() != fs.File:
		return bad(" is not a regular file")
	case want == "":
		return nil
	case isDir && want != directoryType:
		return bad(" is a directory, not a " + want)
	case !isDir && want == directoryType:
		return bad(" is not a directory")
	}
	if m.kind = want; want == notebookType {
		m.mimetype = ""
	} else if want == fileType {
		m.mimetype = mimeOf(m.path.Base())
	}
	return nil
}

// getContent answers with a file's contents. The hash, if there is one, is of the version hashed: that of other contents would make
// the client overwrite somebody's work without noticing.
func (c *call) getContent(m model, q contentsQuery, hashed fs.Version) error {
	h, err := c.view.Open(c.ctx(), m.path, fs.OpenRead)
	if err != nil {
		return c.openError(m.path, err)
	}
	defer h.Release(c.ctx()) //nolint:errcheck // nothing was written
	if m.attr, err = h.Attr(c.ctx()); err != nil {
		return err
	}
	m.size = m.attr.Size
	if m.hash != "" && m.attr.Version != hashed {
		if m.hash, err = c.sumOf(h); err != nil {
			return err
		}
	}
	if m.kind == notebookType {
		return c.getNotebook(m, h)
	}
	return c.getFile(m, h, q.format)
}

func (c *call) openError(p fs.Path, err error) error {
	if fs.KindOf(err) == fs.Permission {
		return &failure{status: http.StatusForbidden, message: "Permission denied: " + string(p), err: err}
	}
	if absent(err) {
		return missing(p)
	}
	return err
}

// putContents answers PUT /api/contents{path}: save, or upload a part.
func putContents(c *call) error {
	p, err := c.path()
	if err != nil {
		return err
	}
	data, err := c.body(c.s.opts.MaxBody)
	if err != nil {
		return err
	}
	r, err := parseSave(data)
	if err != nil {
		return err
	}
	if r.empty {
		return c.untitled(p, "", "")
	}
	if err := c.checkSave(p, r); err != nil {
		return err
	}
	cond, err := c.condition(p)
	if err != nil {
		return err
	}
	if r.inParts {
		return c.upload(p, r, cond)
	}
	return c.save(p, r, cond)
}

// saveRequest is the body of a PUT. The content stays as it was sent.
type saveRequest struct {
	empty      bool
	kind       string
	hasType    bool
	format     string
	path       string
	copyFrom   string
	inParts    bool
	chunk      int // the number of the part
	content    json.RawMessage
	hasContent bool
}

func parseSave(data []byte) (saveRequest, error) {
	bad := failed(http.StatusBadRequest, "Invalid JSON in body of request")
	if s := strings.TrimSpace(string(data[:min(len(data), 16)])); s == "" || s == "null" {
		return saveRequest{empty: true}, nil
	}
	members, err := splitObject(data)
	if err != nil {
		return saveRequest{}, bad
	}
	r := saveRequest{empty: len(members) == 0}
	for key, raw := range members {
		if key == "content" { // decoded once it is known what it is
			r.content, r.hasContent = raw, true
			continue
		}
		if err := checkText(raw); err != nil {
			return r, err
		}
		var err error
		switch key {
		case "type":
			err = json.Unmarshal(raw, &r.kind)
			if r.hasType = r.kind != ""; r.hasType {
				r.kind = knownType(r.kind)
			}
		case "format":
			err = json.Unmarshal(raw, &r.format)
		case "path":
			err = json.Unmarshal(raw, &r.path)
		case "copy_from":
			err = json.Unmarshal(raw, &r.copyFrom)
		case "chunk":
			r.inParts = string(raw) != "null"
			err = json.Unmarshal(raw, &r.chunk)
		default:
			if !json.Valid(raw) {
				err = errNotObject
			}
		}
		if err != nil {
			return r, bad
		}
	}
	return r, nil
}

// checkSave refuses what can be refused before the file is looked at.
func (c *call) checkSave(p fs.Path, r saveRequest) error {
	if r.copyFrom != "" {
		return failed(http.StatusBadRequest, "Cannot copy with PUT, only POST")
	}
	also, err := fs.ParsePath(r.path)
	if err != nil {
		return failed(http.StatusBadRequest, "The path in the body is not valid")
	}
	if c.hidden(p) || c.hidden(also) {
		return failed(http.StatusBadRequest, "Cannot create file or directory '/"+string(p)+"'")
	}
	if p == "" {
		return failed(http.StatusBadRequest, "Not a file: the top folder")
	}
	return nil
}

// errIsAnswer reports whether err already has the API's words.
func errIsAnswer(err error) bool {
	var f *failure
	return errors.As(err, &f)
}
