package browser

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/reference"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
	"github.com/jupyter-drive/jupyter-drive/integration/tap"
)

// plan is what the walk is told, and noise what it reports beside its checks.
type plan struct {
	URL      string   `json:"url"`
	Token    string   `json:"token"`
	Dir      string   `json:"dir"`
	Notebook string   `json:"notebook"`
	Expect   []string `json:"expect"`
	Screens  string   `json:"screens"`
	Report   string   `json:"report"`
	Browser  string   `json:"browser"`
}

type noise struct {
	Console   []string `json:"console"`
	Responses []string `json:"responses"`
}

// TestWalk walks through JupyterLab on the sample notebook. Ours may show no console error and no answer of 400 and above that a stock
// JupyterLab does not show on the same walk.
func TestWalk(t *testing.T) {
	stock := t.Run("stock", func(t *testing.T) {
		s := reference.Run(t, reference.Options{Dir: sampleDrive(t), Lab: true})
		walk(t, s.URL, s.Token, s.Dir)
	})
	if !stock {
		t.Fatal("the walk does not work on a stock JupyterLab")
	}
	allowed := readNoise(t, "stock")
	t.Run("ours", func(t *testing.T) {
		d := daemon.Run(t, daemon.Options{Drive: sampleDrive(t), Root: true, Python: sandbox.Python(t)})
		walk(t, d.URL, d.Token, d.Dir)
		quieter(t, readNoise(t, "ours"), allowed)
	})
	t.Run("bucket", func(t *testing.T) {
		d := sampleBucket(t)
		d.Start(t)
		walk(t, d.Daemon.URL, d.Daemon.Token, d.Daemon.Dir)
		quieter(t, readNoise(t, "bucket"), allowed)
		uploaded(t, d)
	})
	t.Run("proxy", func(t *testing.T) {
		d := daemon.Run(t, daemon.Options{
			Drive: sampleDrive(t), Root: true, Python: sandbox.Python(t), Args: []string{"--base-url", "/a%40b/"},
		})
		walk(t, proxy(t, d.URL)+"/a%40b/", d.Token, d.Dir)
		quieter(t, readNoise(t, "proxy"), allowed)
	})
}

// TestTwoPeople gives two people links of their own and finds them under stable names.
func TestTwoPeople(t *testing.T) {
	d := daemon.Run(t, daemon.Options{})
	tokens := map[string]string{}
	for _, person := range []string{"ada", "grace"} {
		out, err := d.Command("user", "add", person).Output()
		if err != nil {
			t.Fatalf("user add %s: %v", person, stderr(err))
		}
		token := linkToken(t, string(out))
		tokens[person] = token
		for range 2 {
			status, name := whoAmI(t, d.URL, token)
			if status != http.StatusOK || name != person {
				t.Errorf("api/me with the token of %s = %d %q", person, status, name)
			}
		}
	}
	if out, err := d.Command("user", "remove", "ada").CombinedOutput(); err != nil {
		t.Fatalf("user remove ada: %v\n%s", err, out)
	}
	if status, _ := whoAmI(t, d.URL, tokens["ada"]); status != http.StatusForbidden {
		t.Errorf("api/me with a token that was taken away = %d, want %d", status, http.StatusForbidden)
	}
	if status, _ := whoAmI(t, d.URL, tokens["grace"]); status != http.StatusOK {
		t.Errorf("api/me with the other token = %d, want %d", status, http.StatusOK)
	}
}

// walk runs the walk and makes a subtest of each of its checks. Screenshots and the report stay in .cache/screens.
func walk(t *testing.T, address, token, dir string) {
	t.Helper()
	scripts := sandbox.Node(t)
	p := plan{
		URL: address, Token: token, Dir: dir, Notebook: "Welcome.ipynb", Expect: []string{"Bergen", "city,month"},
		Screens: screens(t.Name()), Report: filepath.Join(screens(t.Name()), "report.json"), Browser: sandbox.Chromium(t),
	}
	if err := errors.Join(os.RemoveAll(p.Screens), os.MkdirAll(p.Screens, 0o755)); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.Screens, "plan.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	tap.Run(t, exec.CommandContext(t.Context(), "node", filepath.Join(scripts, "walk.mjs"), file))
	t.Logf("screenshots are in %s", p.Screens)
}

// screens is the folder of a walk's screenshots, by the last part of the test's name.
func screens(name string) string {
	return filepath.Join(sandbox.Module(), ".cache", "screens", name[strings.LastIndexByte(name, '/')+1:])
}

func readNoise(t *testing.T, name string) noise {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(screens(name), "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var n noise
	if err := json.Unmarshal(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// quieter fails for each console error and each bad answer that a stock JupyterLab does not show.
func quieter(t *testing.T, ours, stock noise) {
	t.Helper()
	for _, line := range ours.Console {
		if !slices.Contains(stock.Console, line) {
			t.Errorf("console error that a stock JupyterLab does not show: %s", line)
		}
	}
	for _, line := range ours.Responses {
		if !slices.Contains(stock.Responses, line) {
			t.Errorf("answer that a stock JupyterLab does not give: %s", line)
		}
	}
}

// sampleDrive is a copy of the drive that the program makes first.
func sampleDrive(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drive")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(sandbox.Module(), "cmd", "jupyter-drive", "sample"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sampleBucket is a bucket that has what sampleDrive has. Another program has put it there.
func sampleBucket(t *testing.T) *bucketdrive.Drive {
	t.Helper()
	d := bucketdrive.New(t, bucketdrive.Options{Python: sandbox.Python(t)})
	sample := sampleDrive(t)
	files, err := os.ReadDir(sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(sample, f.Name()))
		if err == nil {
			err = d.Put(t.Context(), f.Name(), bytes.NewReader(text), int64(len(text)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// uploaded fails unless the bucket has what the walk has left in the mount, and nothing was in conflict.
func uploaded(t *testing.T, d *bucketdrive.Drive) {
	t.Helper()
	if s := d.Settle(t); len(s.Errors) > 0 || len(s.Conflicts) > 0 {
		t.Errorf("status: %+v", s)
	}
	files := 0
	err := fs.WalkDir(os.DirFS(d.Daemon.Mount), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		want, err := os.ReadFile(filepath.Join(d.Daemon.Mount, path))
		if err != nil {
			return err
		}
		got, err := d.Object(t.Context(), path)
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("the object %s has %d bytes that differ from the %d of the file", path, len(got), len(want))
		}
		return err
	})
	if err != nil || files < 5 { // the sample's two, what its last cell writes, a shell's and a terminal's
		t.Errorf("%d files in the mount: %v", files, err)
	}
}

// proxy is a reverse proxy with TLS before a server, as an operator would put it there, and returns its address.
func proxy(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: u.Scheme, Host: u.Host})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}}
	server := httptest.NewUnstartedServer(p)
	// The browser breaks off its first handshake with a certificate that it does not know.
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// linkToken takes the token out of the link that `user add` prints.
func linkToken(t *testing.T, out string) string {
	t.Helper()
	for field := range strings.FieldsSeq(out) {
		if u, err := url.Parse(field); err == nil && u.Query().Get("token") != "" {
			return u.Query().Get("token")
		}
	}
	t.Fatalf("user add printed no link: %q", out)
	return ""
}

// whoAmI asks the server who a token's owner is, and returns the answer's status and the name.
func whoAmI(t *testing.T, address, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"api/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var me struct {
		Identity struct {
			Name string `json:"name"`
		} `json:"identity"`
	}
	if err := json.NewDecoder(response.Body).Decode(&me); err != nil && response.StatusCode == http.StatusOK {
		t.Fatal(err)
	}
	return response.StatusCode, me.Identity.Name
}

// stderr is what a command that failed has said.
func stderr(err error) string {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return err.Error()
}
