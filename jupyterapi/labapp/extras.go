package labapp

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// listTranslations answers with the languages of the user interface: English, which needs no language pack.
func (h *Handler) listTranslations(w http.ResponseWriter, r *http.Request, _ string) {
	english := map[string]string{"displayName": "English", "nativeName": "English"}
	h.writeJSON(w, r, map[string]any{"data": map[string]any{"en": english}, "message": ""})
}

// serveTranslation answers with a language pack. There is none; the front end shows English then. It does not start when this fails.
func (h *Handler) serveTranslation(w http.ResponseWriter, r *http.Request, locale string) {
	if locale == "" {
		h.listTranslations(w, r, "")
		return
	}
	message := ""
	if locale != "default" && locale != "en" && !strings.HasPrefix(locale, "en_") {
		message = fmt.Sprintf("Language pack '%s' not installed!", locale)
	}
	h.writeJSON(w, r, map[string]any{"data": map[string]any{}, "message": message})
}

// serveListings answers that no extension is blocked or allowed in particular.
func (h *Handler) serveListings(w http.ResponseWriter, r *http.Request, _ string) {
	h.writeJSON(w, r, map[string]any{
		"blocked_extensions_uris": []string{}, "allowed_extensions_uris": []string{},
		"blocked_extensions": []string{}, "allowed_extensions": []string{},
	})
}

// serveLanguageServers answers that no language servers run here; the front end asks at each start.
func (h *Handler) serveLanguageServers(w http.ResponseWriter, r *http.Request, _ string) {
	h.writeJSON(w, r, map[string]any{"version": 2, "sessions": map[string]any{}, "specs": map[string]any{}})
}

// licensedPackage is a package that a bundle contains.
type licensedPackage struct {
	Name    string `json:"name"`
	Version string `json:"versionInfo"`
	License string `json:"licenseId"`
	Text    string `json:"extractedText"`
}

// bundle is the list of packages in the application or in an extension.
type bundle struct {
	name     string
	Packages []licensedPackage `json:"packages"`
}

// serveLicenses answers with the licences of all that the front end consists of, as the menu Help > Licenses shows and downloads it:
// ?format=json|csv|markdown, ?bundles=REGEXP, ?full_text=0, ?download=1.
func (h *Handler) serveLicenses(w http.ResponseWriter, r *http.Request, _ string) {
	query := r.URL.Query()
	wanted, err := regexp.Compile("^(?:" + query.Get("bundles") + ")")
	if err != nil {
		writeError(w, http.StatusBadRequest, "bundles is no regular expression")
		return
	}
	var list []bundle
	for _, b := range h.bundles() {
		if wanted.MatchString(b.name) {
			list = append(list, b)
		}
	}
	var contentType, ext string
	var body []byte
	switch format := query.Get("format"); format {
	case "", "json":
		contentType, ext = "application/json", ".json"
		body, err = licensesJSON(list)
	case "csv":
		contentType, ext = "text/csv; charset=utf-8", ".csv"
		body, err = licensesCSV(list)
	case "markdown":
		contentType, ext = "text/markdown; charset=utf-8", ".md"
		full := query.Get("full_text")
		body = licensesMarkdown(list, full != "0" && full != "false")
	default:
		writeError(w, http.StatusBadRequest, "format is json, csv or markdown")
		return
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if download := query.Get("download"); download == "1" || download == "true" {
		w.Header().Set("Content-Disposition", `attachment; filename="jupyterlab-licenses`+ext+`"`)
	}
	w.Header().Set("Cache-Control", "no-cache")
	h.writeBody(w, r, contentType, body)
}

// bundles returns the licences of the application and of the extensions. A bundle without a list is empty.
func (h *Handler) bundles() []bundle {
	list := []bundle{readBundle(h.app, "@jupyterlab/application-top")}
	for _, e := range h.extensions() {
		f, done, err := h.openExtension(e)
		if err != nil {
			continue // it was removed just now
		}
		list = append(list, readBundle(f, e.name))
		done()
	}
	return list
}

func readBundle(f folder, name string) bundle {
	b := bundle{name: name, Packages: []licensedPackage{}}
	for _, dir := range []string{".", "static"} {
		var doc bundle
		data, err := f.read(path.Join(dir, "third-party-licenses.json"))
		if err == nil && json.Unmarshal(data, &doc) == nil {
			b.Packages = append(b.Packages, doc.Packages...)
		}
	}
	return b
}

func licensesJSON(list []bundle) ([]byte, error) {
	bundles := make(map[string]bundle, len(list))
	for _, b := range list {
		bundles[b.name] = b
	}
	return json.MarshalIndent(map[string]any{"bundles": bundles}, "", "  ")
}

func licensesCSV(list []bundle) ([]byte, error) {
	var out strings.Builder
	w := csv.NewWriter(&out)
	rows := [][]string{{"bundle", "name", "versionInfo", "licenseId", "extractedText"}}
	for _, b := range list {
		for _, p := range b.Packages {
			rows = append(rows, []string{b.name, p.Name, p.Version, p.License, p.Text})
		}
	}
	err := w.WriteAll(rows)
	return []byte(out.String()), err
}

func licensesMarkdown(list []bundle, fullText bool) []byte {
	var out strings.Builder
	for _, b := range list {
		fmt.Fprintf(&out, "# %s\n\n", b.name)
		for _, p := range b.Packages {
			fmt.Fprintf(&out, "## **%s**\t`%s`\t%s\n\n", p.Name, p.Version, p.License)
			if fullText && p.Text != "" {
				fmt.Fprintf(&out, "```\n%s\n```\n\n", p.Text)
			}
		}
	}
	return []byte(out.String())
}
