package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"misspelt", "version = 1\nlisen = \"x:1\"\n", `:2: unknown key "lisen": did you mean "listen"?`},
		{"misspelt in a drive", "[drives.home]\nurl = \"file:/tmp\"\n\nmod = \"read-only\"\n", `:4: unknown key "drives.home.mod": did you mean "mode"?`},
		{"of a later version", "[[access]]\nwho = \"*\"\n", "this version does not have that feature"},
		{"kernel key of a later version", "[kernels]\ncull_idle = \"2h\"\n", "this version does not have that feature"},
		{"unknown table", "[frobnicate]\na = 1\n", "known here: version"},
		{"syntax", "version = 1\nmount = \n", ":2: "},
		{"version", "version = 2\n", "this program reads version 1"},
		{"listen", "listen = \"8888\"\n", "is not an address"},
		{"drive name", "[drives.Home]\nurl = \"file:/tmp\"\n", "a drive's name has"},
		{"drive url", "[drives.data]\nurl = \"gs://bucket\"\n", "local folders (file:PATH) and buckets"},
		{"bucket key of a folder", "[drives.data]\nurl = \"file:/tmp\"\nregion = \"eu-west-1\"\n", "are for s3:// only"},
		{"no bucket", "[drives.data]\nurl = \"s3://\"\n", "names no bucket"},
		{"no path in a bucket", "[drives.data]\nmode = \"read-only\"\nurl = \"s3://team/a//b\"\n", `:3: [drives.data]: url "s3://team/a//b": the prefix "a//b" is no path`},
		{"bad bucket", "[drives.data]\nmode = \"read-only\"\nurl = \"s3://bad!bucket\"\n", `:3: [drives.data]: url "s3://bad!bucket" names no bucket`},
		{"endpoint", "[drives.data]\nurl = \"s3://b\"\nendpoint = \"minio\"\n", "is not a URL"},
		{"close", "[drives.data]\nurl = \"s3://b\"\nclose = \"now\"\n", `close = "now" is neither`},
		{"misspelt in a bucket", "[drives.data]\nurl = \"s3://b\"\npathstyle = true\n", `did you mean "path_style"?`},
		{"cache size", "[cache]\nsize = \"much\"\n", "[cache]: size"},
		{"no url", "[drives.data]\nmode = \"read-only\"\n", "url is missing"},
		{"mode", "[drives.data]\nurl = \"file:/tmp\"\nmode = \"ro\"\n", `mode = "ro" is neither`},
		{"root", "root = \"x\"\n[drives.data]\nurl = \"file:/tmp\"\n", "is not a drive; there are: data"},
		{"root without drives", "version = 1\nroot = \"zz\"\n", `:2: root = "zz" is not a drive; there are: home. Name one of them, write the table [drives.zz], or remove the key`},
		{"listen at no port", "version = 1\n\nlisten = \"127.0.0.1:99999\"\n", `:3: listen = "127.0.0.1:99999" is not an address such as "127.0.0.1:8888": ports are`},
		{"local", "[drives.a]\nurl = \"s3://b\"\nlocal = [\"ok\", \"[a\"]\n", `:3: [drives.a]: local: "[a" is no pattern of names such as "*.tmp"`},
		{"local with a slash", "[drives.a]\nurl = \"s3://b\"\nlocal = [\"a/b\"]\n", `local: "a/b" is no pattern`},
		{"user", "[[user]]\nname = \"ada\"\ntoken_sha256 = \"abc\"\n", "user add"},
		{"proxy", "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/33\"]\n", `"10.0.0.0/33" is neither`},
		{"proxy by name", "trusted_proxies = [\"localhost\"]\n", `"localhost" is neither`},
		{"relative mount", "version = 1\nmount = \"Drive\"\n", `:2: mount = "Drive" would depend on where the daemon is started; write a whole path, such as "~/Drive"`},
		{"empty mount", "mount = \"\"\n", `such as "~/JupyterDrive"`},
		{"base URL with a space", "version = 1\n\nbase_url = \"x y\"\n", `:3: base_url = "x y" has characters that must be escaped; write "/x%20y/"`},
		{"base URL with a query", "base_url = \"/x?y\"\n", `is not a path such as "/drive/"`},
		{"relative url", "[drives.a]\nurl = \"file:notes\"\n", `:2: [drives.a]: url = "file:notes" would depend`},
		{"one folder twice", "[drives.a]\nurl = \"file:~/x\"\n\n[drives.b]\nmode = \"read-only\"\nurl = \"/home/ada/x/\"\n",
			`:6: [drives.b]: url = "/home/ada/x/" is the same folder as drive "a"; give it`},
		{"one bucket twice", "[drives.a]\nurl = \"s3://b/x\"\n[drives.\"b\"]\nurl = \"s3://b/x/\"\n", `:4: [drives.b]: url = "s3://b/x/" is the same place as drive "a"`},
		{"prefix in a bucket", "[drives.a]\nurl = \"s3://b\"\n[drives.b]\nurl = \"s3://b/x\"\n", `url = "s3://b/x" lies inside drive "a"`},
		{"bucket around a prefix", "[drives.a]\nurl = \"s3://b/x/y\"\n[drives.b]\nurl = \"s3://b/x\"\n", `url = "s3://b/x" contains drive "a"`},
		{"endpoints that are one", "[drives.a]\nurl = \"s3://b\"\nendpoint = \"http://h/\"\n[drives.b]\nurl = \"s3://b\"\nendpoint = \"http://h\"\n", "the same place"},
		{"two problems", "mount = \"x\"\nlisten = \"y\"\n", ":2: listen"},
		{"tls", "[tls]\ncert = \"a\"\n", "both cert and key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadConfig(environment{home: "/home/ada"}, writeConfig(t, tt.text))
			var exit *exitError
			if !errors.As(err, &exit) || exit.code != exitConfig {
				t.Fatalf("loadConfig(%q) = %v, want exit code %d", tt.text, err, exitConfig)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("loadConfig(%q) = %q, want it to say %q", tt.text, err, tt.want)
			}
		})
	}
}

func TestConfigAccepts(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"folder in a folder", "[drives.a]\nurl = \"file:~/x\"\n[drives.b]\nurl = \"file:~/x/y\"\n"},
		{"prefixes side by side", "[drives.a]\nurl = \"s3://b/x\"\n[drives.b]\nurl = \"s3://b/xy\"\n"},
		{"stores side by side", "[drives.a]\nurl = \"s3://b\"\n[drives.b]\nurl = \"s3://b\"\nendpoint = \"http://h\"\n"},
		{"escaped base URL", "base_url = \"/a%40b\"\n"},
		{"root that the first start makes", "root = \"home\"\n"},
		{"any free port", "listen = \"127.0.0.1:0\"\n"},
		{"patterns", "[drives.a]\nurl = \"s3://b\"\nlocal = [\"*.t[a-c]\", \"\\\\*\", \"\"]\n"},
		{"mount in the home folder", "mount = \"~/x\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := loadConfig(environment{home: "/home/ada"}, writeConfig(t, tt.text)); err != nil {
				t.Errorf("loadConfig(%q) = %v", tt.text, err)
			}
		})
	}
}

func TestLineOf(t *testing.T) {
	const text = "a = 1\n[ drives . \"x.y\" ] # here\n\"url\" = 1\n[drives.z]\nurl = 2\n"
	for _, tt := range []struct {
		key  toml.Key
		want int
	}{
		{toml.Key{"a"}, 1}, {toml.Key{"drives", "x.y"}, 2}, {toml.Key{"drives", "x.y", "url"}, 3}, {toml.Key{"drives", "z", "url"}, 5},
	} {
		if got := lineOf([]byte(text), tt.key); got != tt.want {
			t.Errorf("lineOf(%v) = %d, want %d", tt.key, got, tt.want)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	c, err := loadConfig(environment{home: "/home/ada"}, writeConfig(t, `trusted_proxies = ["127.0.0.1", "::ffff:192.0.2.7", "10.1.2.3/8", "fd00::/8"]`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.trustedProxies()
	if want := "[127.0.0.1/32 192.0.2.7/32 10.0.0.0/8 fd00::/8]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("trusted proxies = %v, %v, want %s", got, err, want)
	}
	if got := c.warnings(); len(got) != 0 {
		t.Errorf("warnings = %q, want none", got)
	}
	c.TrustedProxies = []string{"0.0.0.0/0"}
	if got := c.warnings(); len(got) != 1 || !strings.Contains(got[0], "every address") {
		t.Errorf("warnings = %q, want one", got)
	}
}

// TestBehindATrustedProxy asks a daemon as a TLS proxy of the configuration would: the session cookie is for TLS only, and the host is
// the one that the browser asked for. From elsewhere the same headers say nothing.
func TestBehindATrustedProxy(t *testing.T) {
	for _, tt := range []struct {
		name, proxies string
		status        int
		secure        bool
	}{
		{"trusted", `["127.0.0.0/8"]`, http.StatusFound, true},
		{"another one is trusted", `["192.0.2.1"]`, http.StatusForbidden, false},
		{"none is trusted", `[]`, http.StatusForbidden, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := testEnv(t)
			if err := os.MkdirAll(filepath.Dir(env.configFile()), 0o700); err != nil {
				t.Fatal(err)
			}
			text := "trusted_proxies = " + tt.proxies + "\nallowed_hosts = [\"drive.example.org\"]\n"
			if err := os.WriteFile(env.configFile(), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			link := serveInTest(t, env)
			get := func(host string) (int, []*http.Cookie) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = host
				req.Header.Set("X-Forwarded-Proto", "https")
				req.Header.Set("X-Forwarded-Host", "drive.example.org")
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if err := resp.Body.Close(); err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, resp.Cookies()
			}
			// A proxy asks for us by a name of its own.
			if got, _ := get("upstream"); got != tt.status {
				t.Errorf("through the proxy = %d, want %d", got, tt.status)
			}
			status, cookies := get("drive.example.org")
			if status != http.StatusFound || len(cookies) < 2 {
				t.Fatalf("the link = %d with cookies %v, want 302 with a session", status, cookies)
			}
			for _, c := range cookies {
				if c.Secure != tt.secure {
					t.Errorf("cookie %s: Secure = %v, want %v", c.Name, c.Secure, tt.secure)
				}
			}
		})
	}
}

func TestConfigDefaults(t *testing.T) {
	c, err := loadConfig(environment{home: "/home/ada"}, filepath.Join(t.TempDir(), "missing.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Mount != defaultMount || c.Listen != defaultListen || c.BaseURL != "/" {
		t.Errorf("defaults = %q %q %q", c.Mount, c.Listen, c.BaseURL)
	}
}

func TestEditConfigKeepsCommentsAndOrder(t *testing.T) {
	const text = "# mine\nversion = 1\n\n# the first\n[drives.a]\nurl = \"file:/a\"\n\n# the second\n[drives.b]\nurl = \"file:/b\" # here\n"
	c := &config{path: writeConfig(t, text)}
	edit := func(f func(string) (string, error)) string {
		t.Helper()
		if err := c.editConfig(f); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	got := edit(func(s string) (string, error) {
		return appendTable(s, "[drives.c]", [2]string{"url", `file:/c "x"`}, [2]string{"mode", ""}), nil
	})
	added := text + "\n[drives.c]\nurl = \"file:/c \\\"x\\\"\"\n"
	if got != added {
		t.Errorf("after add:\n%s\nwant:\n%s", got, added)
	}
	got = edit(func(s string) (string, error) {
		s, found := removeTable(s, "[drives.a]", func([]string) bool { return true })
		if !found {
			t.Error("removeTable found nothing")
		}
		return s, nil
	})
	want := strings.Replace(added, "# the first\n[drives.a]\nurl = \"file:/a\"\n\n", "", 1)
	if got != want {
		t.Errorf("after remove:\n%s\nwant:\n%s", got, want)
	}
	err := c.editConfig(func(s string) (string, error) { return s + "\nbad = 1\n", nil })
	if err == nil {
		t.Error("an edit that makes the file invalid was accepted")
	}
	if data, err := os.ReadFile(c.path); err != nil || string(data) != want {
		t.Errorf("a refused edit changed the file: %q, %v", data, err)
	}
}

func TestRemoveUserByName(t *testing.T) {
	text := appendTable(appendTable("version = 1\n", "[[user]]", [2]string{"name", "ada"}), "[[user]]", [2]string{"name", "grace"})
	got, found := removeTable(text, "[[user]]", func(body []string) bool { return hasLine(body, "name", "ada") })
	if !found || strings.Contains(got, "ada") || !strings.Contains(got, "grace") {
		t.Errorf("removeTable = %q, %v", got, found)
	}
}

func FuzzLoadConfig(f *testing.F) {
	f.Add("version = 1\n[drives.home]\nurl = \"file:/tmp\"\n")
	f.Add("[[user]]\nname=\"a\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := loadConfig(environment{home: "/home/ada"}, writeConfig(t, text))
		if err == nil && len(c.check()) > 0 {
			t.Errorf("loadConfig(%q) accepted what check refuses: %v", text, c.check())
		}
	})
}
