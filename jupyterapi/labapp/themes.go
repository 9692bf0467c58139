package labapp

import (
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// serveTheme answers with a file of a theme: PACKAGE/FILE, from a labextension's themes folder or the application's.
func (h *Handler) serveTheme(w http.ResponseWriter, r *http.Request, rest string) {
	pkg, _, ok := splitPackage(rest)
	if !ok || !fs.ValidPath(rest) {
		h.refuse(w, r, "")
		return
	}
	themes := h.app.sub("themes")
	if e, found := h.findExtension(pkg); found {
		f, done, err := h.openExtension(e)
		if err != nil {
			h.refuseFile(w, r, err)
			return
		}
		defer done()
		if f = f.sub("themes"); len(f.list(pkg)) > 0 {
			themes = f
		}
	}
	if path.Ext(rest) != ".css" {
		h.serveFile(w, r, themes, rest)
		return
	}
	css, err := themes.read(rest)
	if err != nil {
		h.refuseFile(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", cacheAskFor)
	h.writeBody(w, r, contentType(rest), absoluteURLs(css, h.opts.BaseURL+"lab/api/themes/"+path.Dir(rest)))
}

// cssURL matches url(…) in a style sheet; what it refers to is in one of the groups.
var cssURL = regexp.MustCompile(`url\(\s*(?:'([^'\n]*)'|"([^"\n]*)"|([^'"()\s]+))\s*\)`)

// hasScheme matches references that do not depend on the place of the style sheet.
var hasScheme = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9+.-]*:|/|#)`)

// absoluteURLs rewrites the relative references of a style sheet to begin with base: the front end may put the style sheet's text into
// the page, where they would be taken as relative to the page.
func absoluteURLs(css []byte, base string) []byte {
	return cssURL.ReplaceAllFunc(css, func(match []byte) []byte {
		m := cssURL.FindSubmatch(match)
		ref := string(m[1]) + string(m[2]) + string(m[3])
		if ref == "" || hasScheme.MatchString(ref) {
			return match
		}
		file, query := ref, ""
		if i := strings.IndexAny(ref, "?#"); i >= 0 {
			file, query = ref[:i], ref[i:]
		}
		return []byte("url('" + strings.ReplaceAll(path.Join(base, file)+query, "'", "%27") + "')")
	})
}
