package promises

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
)

// ups are the spellings of a step up.
var ups = []string{
	"..", "%2e%2e", "%2E.", ".%2e", "..%2f..", "%2e%2e%2f%2e%2e", "%252e%252e", "..%252f..", "%25252e%25252e",
	"..%5c..", `..\..`, "..%00", "%00", "%2f", "%2f%2f", "....%2f%2f", "%c0%ae%c0%ae", "%uff0e%uff0e", "..;", "a%2f..%2f..",
}

// doors are the routes that take a path.
var doors = []struct{ method, before, after string }{
	{"GET", "api/contents/", ""},
	{"GET", "api/contents/", "?type=file&format=text"},
	{"GET", "api/contents/", "?type=directory"},
	{"PUT", "api/contents/", ""},
	{"POST", "api/contents/", ""},
	{"PATCH", "api/contents/", ""},
	{"DELETE", "api/contents/", ""},
	{"GET", "api/contents/", "/checkpoints"},
	{"POST", "api/contents/", "/checkpoints"},
	{"POST", "api/contents/sub/a.txt/checkpoints/", ""},
	{"GET", "files/", ""},
	{"HEAD", "files/", ""},
	{"GET", "kernelspecs/", "/logo-64x64.png"},
	{"GET", "kernelspecs/fake/", ""},
	{"GET", "lab/extensions/", ""},
	{"GET", "static/", ""},
	{"GET", "static/lab/", ""},
	{"GET", "lab/api/settings/", ""},
	{"GET", "lab/api/themes/", ""},
	{"GET", "lab/api/translations/", ""},
	{"GET", "lab/api/workspaces/", ""},
}

// TestPromiseNoSpellingLeadsOut sends every spelling of a way out, as raw bytes, to every route that takes a path.
func TestPromiseNoSpellingLeadsOut(t *testing.T) {
	outer := t.TempDir()
	drive := filepath.Join(outer, "drive")
	if err := os.MkdirAll(filepath.Join(drive, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(drive, "sub", "a.txt"), "inside")
	write(t, filepath.Join(outer, "secret.txt"), secret)
	write(t, filepath.Join(filepath.Dir(outer), "secret.txt"), secret)
	d := daemon.Run(t, daemon.Options{Drive: drive, Root: true, Box: boxWithSpec(t)})
	c := client.Client{URL: d.URL, Token: d.Token}
	if got, err := c.Do(t.Context(), http.MethodGet, "kernelspecs/fake/logo-64x64.png", nil); err != nil || got.Status != http.StatusOK {
		t.Fatalf("the kernel spec's logo = %d, %v, want 200: its route would not be tested", got.Status, err)
	}
	sent := 0
	for _, door := range doors {
		for _, up := range ups {
			for _, path := range []string{up + "/secret.txt", up + "/" + up + "/secret.txt", "sub/" + up + "/" + up + "/secret.txt", up + up + "secret.txt"} {
				request(t, d, door.method, door.before+path+door.after)
				sent++
			}
		}
	}
	// An absolute name of the file, for routes that would join it.
	for _, door := range doors {
		absolute := filepath.Join(outer, "secret.txt")
		for _, path := range []string{absolute, url.PathEscape(absolute), "%2f" + absolute, "file://" + absolute} {
			request(t, d, door.method, door.before+path+door.after)
			sent++
		}
	}
	t.Logf("%d requests", sent)
	for _, path := range []string{outer, filepath.Dir(outer)} {
		if text, err := os.ReadFile(filepath.Join(path, "secret.txt")); err != nil || string(text) != secret {
			t.Errorf("the file outside is %q, %v: it was changed", text, err)
		}
	}
	if names, err := os.ReadDir(outer); err != nil || len(names) != 2 {
		t.Errorf("beside the drive there are %v, %v, want the drive and the secret", names, err)
	}
}

// request sends one request line as it is. The answer must be a refusal, or a page that knows nothing of the outside.
func request(t *testing.T, d *daemon.Daemon, method, target string) {
	t.Helper()
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	body := ""
	switch method {
	case "PUT":
		body = `{"type":"file","format":"text","content":"overwritten"}`
	case "POST":
		body = `{"type":"file","ext":".txt"}`
	case "PATCH":
		body = `{"path":"stolen.txt"}`
	}
	// A raw backslash or NUL would be a malformed request line to any server; the path's bytes are sent as they are all the same.
	_, err = fmt.Fprintf(conn, "%s %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: token %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		method, u.Path, target, u.Host, d.Token, len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	check(t, method, target, response.StatusCode, text)
}

// check judges an answer. A spelling that names a file inside, such as one that is literal in the name, may be made there.
func check(t *testing.T, method, target string, status int, text []byte) {
	t.Helper()
	if bytes.Contains(text, []byte(secret)) {
		t.Errorf("%s %s reads the file outside", method, target)
	}
	if status >= http.StatusInternalServerError {
		t.Errorf("%s %s = %d %.200s, want a refusal", method, target, status, text)
	}
	contents := strings.HasPrefix(target, "api/contents") || strings.HasPrefix(target, "files")
	reads := method == http.MethodGet && !strings.Contains(target, "/checkpoints")
	if contents && reads && status == http.StatusOK {
		t.Errorf("%s %s = %d %.200s, want 400, 403 or 404", method, target, status, text)
	}
}
