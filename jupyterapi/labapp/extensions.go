package labapp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// extension is a prebuilt extension: a folder with a package.json that says which script to load.
type extension struct {
	name string
	dir  string // on disk; "" when the extension is embedded
	meta extensionMeta
}

// extensionMeta is the part of an extension's package.json that matters here.
type extensionMeta struct {
	Version    string `json:"version"`
	JupyterLab struct {
		Build              *extensionBuild `json:"_build"`
		DisabledExtensions stringSet       `json:"disabledExtensions"`
	} `json:"jupyterlab"`
}

// extensionBuild is what the bundler noted in package.json; the page config repeats it with the name.
type extensionBuild struct {
	Name          string `json:"name"`
	Load          string `json:"load"`
	Extension     string `json:"extension,omitempty"`
	MimeExtension string `json:"mimeExtension,omitempty"`
	Style         string `json:"style,omitempty"`
	Entrypoints   any    `json:"entrypoints"`
}

// stringSet is a list of names that JSON writes as a list or as an object with true for each.
type stringSet []string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *stringSet) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*s = list
		return nil
	}
	var set map[string]bool
	if err := json.Unmarshal(data, &set); err != nil {
		return err
	}
	*s = trueKeys(set)
	return nil
}

// packageName matches npm package names, with or without a scope.
var packageName = regexp.MustCompile(`^(?:@[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9_~-][A-Za-z0-9._~-]*$`)

// splitPackage splits a path into the package name at its start and the rest. ok is false when it does not start with one.
func splitPackage(name string) (pkg, rest string, ok bool) {
	pkg, rest, ok = strings.Cut(name, "/")
	if ok && strings.HasPrefix(pkg, "@") {
		var second string
		second, rest, ok = strings.Cut(rest, "/")
		pkg += "/" + second
	}
	return pkg, rest, ok && packageName.MatchString(pkg)
}

// extensions returns the installed extensions in the order of their folders and names. Of several with one name the first wins.
// The folders are read each time, so that an extension installed meanwhile is there after a reload of the page.
func (h *Handler) extensions() []extension {
	var list []extension
	seen := map[string]bool{}
	for _, dir := range append(h.opts.LabextensionDirs, "") {
		for _, name := range packageNames(h.extensionDir(dir)) {
			if seen[name] {
				continue
			}
			e := extension{name: name}
			if dir != "" {
				e.dir = filepath.Join(dir, filepath.FromSlash(name))
			}
			if err := h.readMeta(&e); err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					h.log.Warn("labextension skipped", "name", name, "dir", dir, "err", err)
				}
				continue
			}
			seen[name] = true
			list = append(list, e)
		}
	}
	return list
}

// extensionDir returns a folder of extensions; "" stands for the embedded one.
func (h *Handler) extensionDir(dir string) folder {
	if dir != "" {
		return folder{fsys: os.DirFS(dir), dir: "."}
	}
	if h.root != nil || h.app.fsys == nil {
		return folder{}
	}
	return folder{fsys: h.app.fsys, dir: "labextensions"}
}

// packageNames lists the folders of f that can be packages, and those in its scopes.
func packageNames(f folder) []string {
	var names []string
	for _, e := range f.list(".") {
		if !strings.HasPrefix(e.Name(), "@") {
			names = append(names, e.Name())
			continue
		}
		for _, scoped := range f.list(e.Name()) {
			names = append(names, path.Join(e.Name(), scoped.Name()))
		}
	}
	valid := names[:0]
	for _, name := range names {
		if packageName.MatchString(name) {
			valid = append(valid, name)
		}
	}
	return valid
}

// readMeta reads the extension's package.json.
func (h *Handler) readMeta(e *extension) error {
	f, done, err := h.openExtension(*e)
	if err != nil {
		return err
	}
	defer done()
	data, err := f.read("package.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &e.meta); err != nil {
		return fmt.Errorf("package.json: %w", err)
	}
	if e.meta.JupyterLab.Build == nil || e.meta.JupyterLab.Build.Load == "" {
		return errors.New("package.json says nothing of a build (jupyterlab._build.load)")
	}
	return nil
}

// openExtension opens the folder of an extension, to be closed by done. The folder itself may be a symbolic link, as `jupyter
// labextension develop` makes them; nothing in it is followed out of it.
func (h *Handler) openExtension(e extension) (f folder, done func(), err error) {
	if e.dir == "" {
		return h.extensionDir("").sub(e.name), func() {}, nil
	}
	root, err := os.OpenRoot(e.dir)
	if err != nil {
		return folder{}, nil, err
	}
	// A root that was only read from has nothing to report when it is closed.
	return folder{fsys: root.FS(), dir: "."}, func() { _ = root.Close() }, nil
}

// findExtension returns the extension of that name, without its package.json.
func (h *Handler) findExtension(name string) (extension, bool) {
	if !packageName.MatchString(name) {
		return extension{}, false
	}
	for _, dir := range h.opts.LabextensionDirs {
		disk := filepath.Join(dir, filepath.FromSlash(name))
		if info, err := os.Stat(filepath.Join(disk, "package.json")); err == nil && info.Mode().IsRegular() {
			return extension{name: name, dir: disk}, true
		}
	}
	if _, err := h.extensionDir("").sub(name).read("package.json"); err != nil {
		return extension{}, false
	}
	return extension{name: name}, true
}

// serveExtension answers with a file of a labextension: NAME/FILE or @SCOPE/NAME/FILE.
func (h *Handler) serveExtension(w http.ResponseWriter, r *http.Request, rest string) {
	name, file, ok := splitPackage(rest)
	e, found := h.findExtension(name)
	if !ok || !found {
		h.refuse(w, r, "")
		return
	}
	f, done, err := h.openExtension(e)
	if err != nil {
		h.refuseFile(w, r, err)
		return
	}
	defer done()
	h.serveFile(w, r, f, file)
}
