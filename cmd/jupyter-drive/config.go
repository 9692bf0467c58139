package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Defaults of the configuration.
const (
	defaultListen = "127.0.0.1:8888"
	defaultMount  = "~/JupyterDrive"
)

// config is the configuration file. Every key is named in docs/config.md.
type config struct {
	Version int    `toml:"version"`
	Mount   string `toml:"mount"`
	Listen  string `toml:"listen"`
	BaseURL string `toml:"base_url"`
	Root    string `toml:"root"`

	AllowedHosts []string `toml:"allowed_hosts"` // Host names besides localhost and the address listened on
	AllowOrigins []string `toml:"allow_origins"` // Origins of other web sites that may use the API
	// TrustedProxies are the addresses, or ranges of them in CIDR form, whose X-Forwarded-Proto, -Host and -For are believed.
	TrustedProxies []string `toml:"trusted_proxies"`

	TLS     tlsConfig              `toml:"tls"`
	Kernels kernelsConfig          `toml:"kernels"`
	Cache   cacheConfig            `toml:"cache"`
	Drives  map[string]driveConfig `toml:"drives"`
	Users   []userConfig           `toml:"user"`

	path string      // where it was read from
	env  environment // against which its paths are meant

	chosen map[string]driveConfig // by the command line; nil = the file's drives count
	aside  map[string]driveConfig // the file's, in whose place those came
}

// defaultConfig is what counts without a file.
func defaultConfig(env environment, path string) *config {
	return &config{Version: 1, Mount: defaultMount, Listen: defaultListen, BaseURL: "/", path: path, env: env}
}

type tlsConfig struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

type kernelsConfig struct {
	Python      string   `toml:"python"`       // interpreter of Python kernels
	EnvPrefixes []string `toml:"env_prefixes"` // more Python prefixes in which to look for kernels
}

type cacheConfig struct {
	Size    string `toml:"size"`     // of what is kept of all stores together, as "20GB"
	MinFree string `toml:"min_free"` // of the cache's disk, which stays free
}

type driveConfig struct {
	URL  string `toml:"url"`
	ID   string `toml:"id"`
	Mode string `toml:"mode"` // "read-write" (default) or "read-only"

	bucketConfig // of s3:// only
}

// bucketConfig is how an object store is reached and used.
type bucketConfig struct {
	Region        string    `toml:"region"`
	Endpoint      string    `toml:"endpoint"`       // URL of a store that is not AWS
	PathStyle     bool      `toml:"path_style"`     // the bucket in the path, not in the host name
	Profile       string    `toml:"profile"`        // of the AWS configuration files
	Anonymous     bool      `toml:"anonymous"`      // no credentials: public buckets
	RequesterPays bool      `toml:"requester_pays"` // the one who reads pays
	Close         string    `toml:"close"`          // "local" (default) or "upload": when close(2) returns
	NoTrash       bool      `toml:"no_trash"`       // what is deleted is gone at once
	Local         *[]string `toml:"local"`          // names that are never uploaded; not set = defaultLocal
}

type userConfig struct {
	Name        string `toml:"name"`
	TokenSHA256 string `toml:"token_sha256"` // hexadecimal
}

// laterKeys belong to features that this version does not have: they are errors with that reason, never ignored.
var laterKeys = []string{"auth", "access", "cull_idle", "expose_identity", "login"}

// loadConfig reads and checks the file. One that does not exist is the default configuration.
func loadConfig(env environment, path string) (*config, error) {
	c := defaultConfig(env, path)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fail(exitConfig, "the configuration cannot be read: %v", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o002 != 0 {
		return nil, fail(exitConfig, "%s can be changed by anybody, who could so run programs as you; run: chmod o-w %[1]s", path)
	}
	return c, c.parse(data)
}

// parse reads the file's text into the defaults and checks it.
func (c *config) parse(data []byte) error {
	path := c.path
	meta, err := toml.Decode(string(data), c)
	if err != nil {
		if parse, ok := errors.AsType[toml.ParseError](err); ok {
			return fail(exitConfig, "%s:%d: %s", path, parse.Position.Line, parse.Message)
		}
		return fail(exitConfig, "%s: %v", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fail(exitConfig, "%s", unknownKey(path, data, unknown[0]))
	}
	var lines []string
	for _, p := range c.check() {
		lines = append(lines, p.at(path, data))
	}
	if len(lines) > 0 {
		return fail(exitConfig, "%s", strings.Join(lines, "\n"))
	}
	return nil
}

// unknownKey says where an unknown key is and what may have been meant.
func unknownKey(path string, data []byte, key toml.Key) string {
	name := key[len(key)-1]
	text := fmt.Sprintf("%s:%d: unknown key %q", path, lineOf(data, key), key.String())
	if slices.Contains(laterKeys, name) || slices.Contains(laterKeys, key[0]) {
		return text + ": this version does not have that feature; remove the key"
	}
	if near := nearest(name, knownKeys(key)); near != "" {
		return fmt.Sprintf("%s: did you mean %q?", text, near)
	}
	return text + "; known here: " + strings.Join(knownKeys(key), ", ")
}

// knownKeys returns the keys that may stand where key does.
func knownKeys(key toml.Key) []string {
	switch {
	case len(key) == 1:
		return []string{"version", "mount", "listen", "base_url", "root", "allowed_hosts", "allow_origins", "trusted_proxies", "tls", "kernels", "cache", "drives", "user"}
	case key[0] == "tls":
		return []string{"cert", "key"}
	case key[0] == "kernels":
		return []string{"python", "env_prefixes"}
	case key[0] == "cache":
		return []string{"size", "min_free"}
	case key[0] == "drives":
		return []string{"url", "id", "mode", "region", "endpoint", "path_style", "profile", "anonymous", "requester_pays", "close", "no_trash", "local"}
	case key[0] == "user":
		return []string{"name", "token_sha256"}
	}
	return nil
}

// lineOf returns the line on which the key is set, or its table begins; 1 if neither is found. The decoder does not tell.
func lineOf(data []byte, key toml.Key) int {
	want := bareKey(key.String())
	table := ""
	for i, line := range bytes.Split(data, []byte("\n")) {
		text := strings.TrimSpace(string(line))
		if strings.HasPrefix(text, "[") {
			table = bareKey(strings.Trim(strings.SplitN(text, "#", 2)[0], "[] \t"))
			if table == want {
				return i + 1
			}
			continue
		}
		k, _, ok := strings.Cut(text, "=")
		if ok && strings.TrimPrefix(table+"."+bareKey(k), ".") == want {
			return i + 1
		}
	}
	return 1
}

// bareKey returns a key, or the name of a table, without what may be written otherwise: quotes and spaces.
func bareKey(key string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("\"' \t", r) {
			return -1
		}
		return r
	}, key)
}

// nearest returns the candidate within two edits of name, or "".
func nearest(name string, candidates []string) string {
	best, found := 3, ""
	for _, c := range candidates {
		if d := editDistance(name, c); d < best {
			best, found = d, c
		}
	}
	return found
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// choose puts drives of the command line in the place of those that the file had when the daemon was started, which aside names. What was
// added to the file since comes beside them; a name that is taken is an error, and the rest counts all the same.
func (c *config) choose(chosen, aside map[string]driveConfig) error {
	c.chosen, c.aside = chosen, map[string]driveConfig{}
	drives := maps.Clone(chosen)
	var errs []error
	for _, name := range c.driveNames() {
		_, was := aside[name]
		_, taken := chosen[name]
		if !was && !taken {
			drives[name] = c.Drives[name]
			continue
		}
		c.aside[name] = c.Drives[name]
		if !was {
			errs = append(errs, fail(exitConflict, "drive %s: the daemon that runs has a folder of that name from its command line; choose another name", name))
		}
	}
	c.Drives = drives
	return errors.Join(errs...)
}

// driveNames returns the names of the drives, sorted.
func (c *config) driveNames() []string {
	names := make([]string, 0, len(c.Drives))
	for name := range c.Drives {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// dir returns the folder of a local drive.
func (d driveConfig) dir(e environment) (string, error) {
	path, err := d.folder()
	if err != nil {
		return "", err
	}
	return e.expand(path), nil
}

// folder returns the folder of a local drive as it is written.
func (d driveConfig) folder() (string, error) {
	scheme, rest, ok := strings.Cut(d.URL, ":")
	switch {
	case d.URL == "":
		return "", errors.New(`url is missing; for a folder: url = "file:~/notebooks"`)
	case !ok || strings.HasPrefix(d.URL, "/") || strings.HasPrefix(d.URL, "~") || strings.HasPrefix(d.URL, "."):
		return d.URL, nil
	case scheme == "file":
		return strings.TrimPrefix(rest, "//"), nil
	}
	return "", fmt.Errorf("url %q: this version has local folders (file:PATH) and buckets (s3://BUCKET/PREFIX)", d.URL)
}

// same reports whether what d opens serves for other too.
func (d driveConfig) same(other driveConfig, e environment) bool {
	if d.isBucket() || other.isBucket() {
		return reflect.DeepEqual(d, other)
	}
	dir, err := d.dir(e)
	otherDir, otherErr := other.dir(e)
	return err == nil && otherErr == nil && dir == otherDir && d.readOnly() == other.readOnly() && d.ID == other.ID
}

func (d driveConfig) readOnly() bool { return d.Mode == "read-only" }

// configDir makes sure that the file's folder exists.
func (c *config) configDir() error {
	return os.MkdirAll(filepath.Dir(c.path), 0o700)
}
