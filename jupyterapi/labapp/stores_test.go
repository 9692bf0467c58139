package labapp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

const plainURL = "/lab/api/settings/@test/plain-extension:plugin"

// rawBody returns the body that stores text.
func rawBody(text string) string {
	body, err := json.Marshal(map[string]string{"raw": text})
	if err != nil {
		panic(err) // text always marshals
	}
	return string(body)
}

// put expects a PUT to answer with status.
func put(t *testing.T, h http.Handler, path, body string, status int, headers ...string) {
	t.Helper()
	resp := do(t, h, "PUT", path, body, headers...)
	if got := resp.Body; resp.Status != status {
		t.Fatalf("PUT %s %.80s = %d %s, want %d", path, body, resp.Status, got, status)
	}
}

func TestSettingsList(t *testing.T) {
	h := newHandler(t, testOptions(t))
	want := []string{"@test/plain-extension:plugin", "@test/plain-extension:other", "@test/fine:plugin"}
	for _, target := range []string{"/lab/api/settings", "/lab/api/settings/", "/lab/api/settings?ids_only=true&1700000000000"} {
		var doc struct{ Settings []map[string]any }
		getJSON(t, h, target, &doc)
		var ids []string
		for _, s := range doc.Settings {
			ids = append(ids, s["id"].(string))
			if _, full := s["schema"]; full == strings.Contains(target, "ids_only") {
				t.Errorf("GET %s: %s has schema: %v", target, s["id"], full)
			}
		}
		if !reflect.DeepEqual(ids, want) {
			t.Errorf("GET %s = %v, want %v", target, ids, want)
		}
	}
}

func TestSettingWithOverriddenDefaults(t *testing.T) {
	h := newHandler(t, testOptions(t))
	got := do(t, h, "GET", plainURL, "").Body
	want := `{"id":"@test/plain-extension:plugin","schema":{"title":"Plain","type":"object","properties":{` +
		`"zeta":{"type":"number","minimum":0,"default":6},"alpha":{"type":"object","default":{"changed":3,"kept":1}},` +
		`"mode":{"enum":["light","dark"],"default":"light"},"odd":{"type":"string","pattern":"^(?!never)","default":""},"fresh":{"default":[1]}},` +
		`"additionalProperties":false},"version":"3.2.1","raw":"{}","settings":{},"warning":null,"last_modified":null,"created":null}`
	if got != want {
		t.Errorf("setting =\n%s\nwant\n%s", got, want)
	}
	got = do(t, h, "GET", "/lab/api/settings/@test/fine:plugin", "").Body
	if !strings.Contains(got, `"on":{"type":"boolean","default":false}`) || !strings.Contains(got, `"version":"N/A"`) {
		t.Errorf("an extension's setting = %s, want the default of labconfig and no version", got)
	}
}

func TestSettingsAreStoredAsWritten(t *testing.T) {
	h := newHandler(t, testOptions(t))
	raw := "// my own\n{\n  'zeta': 2.5, /* half */\n  mode: \"dark\",\n  odd: 'x',\n}\n"
	put(t, h, plainURL, rawBody(raw), 204)
	var got setting
	getJSON(t, h, plainURL, &got)
	if want := map[string]any{"zeta": 2.5, "mode": "dark", "odd": "x"}; got.Raw != raw || !reflect.DeepEqual(got.Settings, want) {
		t.Errorf("stored setting = %q, %v, want %q, %v", got.Raw, got.Settings, raw, want)
	}
	if got.LastModified == nil || got.Created == nil || got.Warning != nil {
		t.Errorf("times = %v, %v, warning %v, want times and no warning", got.LastModified, got.Created, got.Warning)
	}
	put(t, h, plainURL, rawBody("{}"), 204)
	var reset setting // a fresh one: decoding into the former would merge its map
	getJSON(t, h, plainURL, &reset)
	if len(reset.Settings) != 0 {
		t.Errorf("reset setting = %v, want none", reset.Settings)
	}
}

func TestSettingsPutRefuses(t *testing.T) {
	opts := testOptions(t)
	h := newHandler(t, opts)
	for _, tt := range []struct {
		name, path, body string
		status           int
		message          string
	}{
		{"no JSON", plainURL, "{", 400, "send the settings as JSON"},
		{"half a surrogate pair", plainURL, `{"raw":"// \ud83d\n{}"}`, 400, `half of a surrogate pair (\ud83d) at byte 11`},
		{"no raw", plainURL, "{}", 400, `"raw" is missing`},
		{"raw is no text", plainURL, `{"raw": {}}`, 400, "send the settings as JSON"},
		{"a list", plainURL, `["raw"]`, 400, "send the settings as JSON"},
		{"empty body", plainURL, "", 400, "send the settings as JSON"},
		{"raw is no JSON5", plainURL, rawBody("{zeta: }"), 400, "no JSON5 object"},
		{"raw is empty", plainURL, rawBody(""), 400, "no JSON5 object"},
		{"raw is null", plainURL, rawBody("null"), 400, "no JSON5 object"},
		{"raw is a list", plainURL, rawBody("[]"), 400, "no JSON5 object"},
		{"not JSON", plainURL, rawBody("{zeta: Infinity}"), 400, "no JSON5 object"},
		{"too deep", plainURL, rawBody(strings.Repeat("[", maxBrackets+1)), 400, "brackets"},
		{"wrong type", plainURL, rawBody("{zeta: 'x'}"), 400, "zeta: got string, want number"},
		{"below minimum", plainURL, rawBody("{zeta: -1}"), 400, "zeta"},
		{"not in enum", plainURL, rawBody("{mode: 'pink'}"), 400, "'light', 'dark'"},
		{"unknown key", plainURL, rawBody("{nope: 1}"), 400, "'nope'"},
		{"too large", plainURL, rawBody(strings.Repeat(" ", maxDocument)), 413, "larger"},
		{"unknown plugin", "/lab/api/settings/@test/plain-extension:none", rawBody("{}"), 404, "no settings"},
		{"no id", "/lab/api/settings/none", rawBody("{}"), 404, "no plugin's id"},
		{"empty id", "/lab/api/settings/", rawBody("{}"), 404, "no plugin's id"},
		{"escape", "/lab/api/settings/../x:plugin", rawBody("{}"), 404, "no plugin's id"},
		{"dots", "/lab/api/settings/..:..", rawBody("{}"), 404, "no plugin's id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := do(t, h, "PUT", tt.path, tt.body)
			var doc struct{ Message string }
			if err := json.Unmarshal([]byte(resp.Body), &doc); err != nil || resp.Status != tt.status || !strings.Contains(doc.Message, tt.message) {
				t.Errorf("PUT = %d %q %v, want %d with %q", resp.Status, doc.Message, err, tt.status, tt.message)
			}
		})
	}
	if entries, err := os.ReadDir(opts.StateDir); err != nil || len(entries) > 0 {
		t.Errorf("refused writes left %v, %v in the state folder", entries, err)
	}
}

func TestBrokenStoredSettingsAreAWarning(t *testing.T) {
	opts := testOptions(t)
	h := newHandler(t, opts)
	for name, content := range map[string]string{"no JSON5": "{", "invalid": "{zeta: 'x'}", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			id, _ := parsePluginID("@test/plain-extension:plugin")
			if err := writeDocument(settingPath(filepath.Join(opts.StateDir, fileName("ada")), id), []byte(content)); err != nil {
				t.Fatal(err)
			}
			var got setting
			getJSON(t, h, plainURL, &got)
			if got.Raw != "{}" || len(got.Settings) != 0 || got.Warning == nil {
				t.Errorf("setting = %q, %v, warning %v, want the defaults and a warning", got.Raw, got.Settings, got.Warning)
			}
		})
	}
}

func TestUsersDoNotShareStores(t *testing.T) {
	h := newHandler(t, testOptions(t))
	// Names that a careless mapping to folders would confuse.
	users := []string{"ada", "Ada", "../ada", "ada/", "b@c", "bc", "ünï", "nï", strings.Repeat("x", 300), strings.Repeat("x", 301)}
	for i, user := range users {
		put(t, h, plainURL, rawBody(fmt.Sprintf("{zeta: %d}", i)), 204, "Test-User", user)
		put(t, h, "/lab/api/workspaces/w", fmt.Sprintf(`{"data":{"n":%d},"metadata":{"id":"w"}}`, i), 204, "Test-User", user)
	}
	for i, user := range users {
		var s setting
		getJSON(t, h, plainURL, &s, "Test-User", user)
		if s.Settings["zeta"] != float64(i) {
			t.Errorf("settings of %.20q = %v, want zeta %d", user, s.Settings, i)
		}
		var ws workspace
		getJSON(t, h, "/lab/api/workspaces/w", &ws, "Test-User", user)
		if want := fmt.Sprintf(`{"n":%d}`, i); string(ws.Data) != want {
			t.Errorf("workspace of %.20q = %s, want %s", user, ws.Data, want)
		}
	}
	for _, path := range []string{"/lab/api/settings", plainURL, "/lab/api/workspaces", "/lab/api/workspaces/w"} {
		if resp := do(t, h, "GET", path, "", "Test-User", ""); resp.Status != 403 {
			t.Errorf("GET %s of nobody = %d, want 403", path, resp.Status)
		}
	}
}

func TestWithoutAStateFolder(t *testing.T) {
	opts := testOptions(t)
	opts.StateDir = ""
	h := newHandler(t, opts)
	put(t, h, plainURL, rawBody("{}"), 403)
	put(t, h, "/lab/api/workspaces/w", `{"data":{},"metadata":{"id":"w"}}`, 403)
	if resp := do(t, h, "DELETE", "/lab/api/workspaces/w", ""); resp.Status != 403 {
		t.Errorf("DELETE = %d, want 403", resp.Status)
	}
	var ws workspace
	getJSON(t, h, "/lab/api/workspaces/w", &ws)
	if string(ws.Data) != "{}" || ws.id() != "/w" {
		t.Errorf("workspace = %s %q, want an empty one", ws.Data, ws.id())
	}
	if got := do(t, h, "GET", "/lab/api/workspaces", "").Body; got != `{"workspaces":{"ids":[],"values":[]}}` {
		t.Errorf("workspaces = %s, want none", got)
	}
}

func TestWorkspaces(t *testing.T) {
	opts := testOptions(t)
	h := newHandler(t, opts)
	if got := do(t, h, "GET", "/lab/api/workspaces/default", "").Body; got != `{"data":{},"metadata":{"id":"/default"}}` {
		t.Errorf("unknown workspace = %s, want an empty one", got)
	}
	put(t, h, "/lab/api/workspaces/default", `{"data":{"layout":{"a":[1,2]}},"metadata":{"id":"default"}}`, 204)
	put(t, h, "/lab/api/workspaces/a/b ü", `{"data":{},"metadata":{"id":"/a%2Fb%20%C3%BC","more":1}}`, 204)

	var ws workspace
	getJSON(t, h, "/lab/api/workspaces/default", &ws)
	if string(ws.Data) != `{"layout":{"a":[1,2]}}` || ws.id() != "default" || ws.Metadata["last_modified"] == nil || ws.Metadata["created"] == nil {
		t.Errorf("workspace = %s %v, want what was stored, with times", ws.Data, ws.Metadata)
	}
	var list struct {
		Workspaces struct {
			IDs    []string
			Values []workspace
		}
	}
	dir := filepath.Join(opts.StateDir, fileName("ada"), "workspaces")
	if err := os.WriteFile(filepath.Join(dir, "damaged"+workspaceExt), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	getJSON(t, h, "/lab/api/workspaces", &list)
	if want := []string{"/a%2Fb%20%C3%BC", "default"}; !reflect.DeepEqual(list.Workspaces.IDs, want) || len(list.Workspaces.Values) != 2 {
		t.Errorf("workspaces = %v, want %v with values", list.Workspaces.IDs, want)
	}
	for _, want := range []int{204, 404} {
		if resp := do(t, h, "DELETE", "/lab/api/workspaces/default", ""); resp.Status != want {
			t.Errorf("DELETE = %d, want %d", resp.Status, want)
		}
	}
}

func TestWorkspacePutRefuses(t *testing.T) {
	h := newHandler(t, testOptions(t))
	for name, body := range map[string]string{
		"no JSON":       "{",
		"a list":        "[]",
		"no data":       `{"metadata":{"id":"w"}}`,
		"data is null":  `{"data":null,"metadata":{"id":"w"}}`,
		"no metadata":   `{"data":{}}`,
		"id is missing": `{"data":{},"metadata":{}}`,
		"id is number":  `{"data":{},"metadata":{"id":1}}`,
		"other id":      `{"data":{},"metadata":{"id":"v"}}`,
	} {
		t.Run(name, func(t *testing.T) { put(t, h, "/lab/api/workspaces/w", body, 400) })
	}
	put(t, h, "/lab/api/workspaces/", `{"data":{},"metadata":{"id":""}}`, 400)
	put(t, h, "/lab/api/workspaces/w", strings.Repeat(" ", maxDocument+1), 413)
}

// TestConcurrentWritesLeaveAWholeDocument lets many writers and readers at one document; a reader must never see a half of one.
func TestConcurrentWritesLeaveAWholeDocument(t *testing.T) {
	opts := testOptions(t)
	h := newHandler(t, opts)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			body := fmt.Sprintf(`{"data":{"text":%q},"metadata":{"id":"w"}}`, strings.Repeat(fmt.Sprint(i), 20000*(i+1)))
			for range 5 {
				resp := do(t, h, "PUT", "/lab/api/workspaces/w", body)
				if resp.Status != 204 {
					t.Errorf("PUT = %d, want 204", resp.Status)
				}
				var ws struct{ Data struct{ Text string } }
				getJSON(t, h, "/lab/api/workspaces/w", &ws)
				if text := ws.Data.Text; text == "" || strings.Trim(text, text[:1]) != "" {
					t.Errorf("a reader saw %d bytes of several writers", len(text))
				}
			}
		})
	}
	all.Wait()
	entries, err := os.ReadDir(filepath.Join(opts.StateDir, fileName("ada"), "workspaces"))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v, want one file", entries, err)
	}
}

func FuzzSettingsRaw(f *testing.F) {
	for _, raw := range []string{"{}", "// c\n{'a': [1,2,], /* x */ b: .5}", "{zeta: 0x10}", "{zeta: NaN}", "\ufeff{}", "{\"a\":\"\\u00e9\"}", "[[", "{'a\\\nb':1}", "/*"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		doc, err := parseJSON5Object([]byte(raw))
		if err != nil {
			return
		}
		out, err := json.Marshal(doc)
		if err != nil {
			t.Fatalf("parseJSON5Object(%q) gives what JSON cannot express: %v", raw, err)
		}
		again, err := parseJSON5Object(out)
		if err != nil || !reflect.DeepEqual(doc, again) {
			t.Errorf("parseJSON5Object(%q) = %v, but its JSON %s = %v, %v", raw, doc, out, again, err)
		}
	})
}

func FuzzWorkspace(f *testing.F) {
	f.Add([]byte(`{"data":{},"metadata":{"id":"w"}}`))
	f.Add([]byte(`{"data":{"a":1},"metadata":{"id":"/a%2Fb"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ws, err := parseWorkspace(body)
		if err == nil && (ws.id() == "" || !json.Valid(ws.Data) || !ws.named(strings.TrimPrefix(ws.id(), "/"))) {
			t.Errorf("parseWorkspace(%q) = %+v", body, ws)
		}
	})
}

func FuzzPluginID(f *testing.F) {
	for _, id := range []string{"@jupyterlab/apputils-extension:themes", "a:b", "..:..", "a/../b:c", "@a/b:c/d", ":", "@/:", "a:b\x00"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := parsePluginID(text)
		if !ok {
			return
		}
		if id.String() != text || !filepath.IsLocal(settingPath("", id)) {
			t.Errorf("parsePluginID(%q) = %+v leads to %q", text, id, settingPath("", id))
		}
		if rel, err := filepath.Rel("settings", settingPath("", id)); err != nil || strings.HasPrefix(rel, "..") {
			t.Errorf("settingPath of %q = %q, outside of its folder", text, settingPath("", id))
		}
	})
}
