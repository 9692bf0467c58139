package labapp

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp/internal/archive"
)

// embeddedDist holds the archive dist/lab.tar.zst if it was there when the program was built.
//
//go:embed dist
var embeddedDist embed.FS

//go:embed icons
var embeddedIcons embed.FS

// openEmbedded returns the embedded archive, or nil when the program was built without. Its bytes stay in the program's file.
func openEmbedded() (*archive.FS, error) {
	f, err := embeddedDist.Open("dist/lab.tar.zst")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the embedded front end: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the embedded front end: %w", err)
	}
	tree, err := archive.Open(f.(io.ReaderAt), info.Size()) // files of embed.FS are ReaderAts, as its documentation promises
	if err != nil {
		return nil, fmt.Errorf("open the embedded front end: %w", err)
	}
	return tree, nil
}

// folder is a folder of files in a file system. With a nil fsys it is empty.
type folder struct {
	fsys fs.FS
	dir  string
}

// path returns the place of a file in the file system. The name must be valid for [fs.ValidPath].
func (f folder) path(name string) string { return path.Join(f.dir, name) }

// sub returns a folder inside f.
func (f folder) sub(name string) folder { return folder{fsys: f.fsys, dir: f.path(name)} }

// read returns the content of a file. Names that are no valid paths do not exist.
func (f folder) read(name string) ([]byte, error) {
	if f.fsys == nil || !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return fs.ReadFile(f.fsys, f.path(name))
}

// list returns the entries of a folder inside f, none when it cannot be read.
func (f folder) list(name string) []fs.DirEntry {
	if f.fsys == nil {
		return nil
	}
	entries, err := fs.ReadDir(f.fsys, f.path(name))
	if err != nil {
		return nil // a missing folder is the usual case, and an unreadable one has nothing to give either
	}
	return entries
}

// scriptSource finds the scripts that the application's page template loads.
var scriptSource = regexp.MustCompile(`src="\{\{\s*page_config\.fullStaticUrl\s*\}\}/([A-Za-z0-9_./~-]+\.js(?:\?[A-Za-z0-9=._-]*)?)"`)

// scripts returns the scripts that the page loads, relative to the static files' URL. Their names change with every release.
func (f folder) scripts() ([]string, error) {
	page, err := f.read("static/index.html")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, m := range scriptSource.FindAllSubmatch(page, -1) {
		list = append(list, string(m[1]))
	}
	if len(list) == 0 {
		return nil, errors.New("static/index.html loads no script")
	}
	return list, nil
}

// Version returns the version of JupyterLab that is served, or "" when there is none.
func (h *Handler) Version() string {
	var pkg struct {
		JupyterLab struct{ Version string }
	}
	data, err := h.app.read("static/package.json")
	if err != nil || json.Unmarshal(data, &pkg) != nil {
		return ""
	}
	return pkg.JupyterLab.Version
}
