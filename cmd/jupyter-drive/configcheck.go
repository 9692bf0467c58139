package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// configProblem is a value that cannot be used.
type configProblem struct {
	key  toml.Key // nil if it has no one place
	text string   // what is wrong, and what to write
}

// at says where it is and what is wrong.
func (p configProblem) at(path string, data []byte) string {
	if p.key == nil {
		return path + ": " + p.text
	}
	return fmt.Sprintf("%s:%d: %s", path, lineOf(data, p.key), p.text)
}

// problems collects what is wrong.
type configProblems []configProblem

func (p *configProblems) add(key toml.Key, format string, args ...any) {
	*p = append(*p, configProblem{key, fmt.Sprintf(format, args...)})
}

// check returns what is wrong with the values.
func (c *config) check() (p configProblems) {
	if c.Version != 1 {
		p.add(toml.Key{"version"}, "version = %d is not known; this program reads version 1", c.Version)
	}
	if isRelative(c.Mount) {
		p.add(toml.Key{"mount"}, "mount = %q would depend on where the daemon is started; write a whole path, such as %q", c.Mount, inHome(c.Mount))
	}
	if _, _, err := splitListen(c.Listen); err != nil {
		p.add(toml.Key{"listen"}, "listen = %q %v", c.Listen, err)
	}
	if _, err := cleanBaseURL(c.BaseURL); err != nil {
		p.add(toml.Key{"base_url"}, "base_url = %q %v", c.BaseURL, err)
	}
	if _, err := c.trustedProxies(); err != nil {
		p.add(toml.Key{"trusted_proxies"}, "%v", err)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		p.add(toml.Key{"tls"}, "tls needs both cert and key")
	}
	for _, name := range c.driveNames() {
		c.Drives[name].check(&p, name)
	}
	for _, size := range []struct{ key, value string }{{"size", c.Cache.Size}, {"min_free", c.Cache.MinFree}} {
		if _, err := parseSize(size.value); err != nil {
			p.add(toml.Key{"cache", size.key}, "[cache]: %s = %q: %v", size.key, size.value, err)
		}
	}
	c.checkRoot(&p)
	c.checkOverlaps(&p)
	c.checkUsers(&p)
	return p
}

// checkRoot adds that the root is no drive. Without drives there will be one that is made at the first start.
func (c *config) checkRoot(p *configProblems) {
	names := c.driveNames()
	if len(names) == 0 {
		names = []string{firstDriveName}
	}
	if c.Root != "" && !slices.Contains(names, c.Root) {
		p.add(toml.Key{"root"}, "root = %q is not a drive; there are: %s. Name one of them, write the table [drives.%s], or remove the key",
			c.Root, strings.Join(names, ", "), quoteKey(c.Root))
	}
}

// check adds what is wrong with a drive by itself.
func (d driveConfig) check(p *configProblems, name string) {
	table := toml.Key{"drives", name}
	if err := fs.CheckDriveName(name); err != nil {
		p.add(table, "[drives.%s]: %v", name, err)
	}
	if key, err := d.checkURL(); err != nil {
		place := table
		if key != "" {
			place = append(place, key)
		}
		p.add(place, "[drives.%s]: %v", name, err)
	}
	if path, err := d.folder(); err == nil && !d.isBucket() && isRelative(path) {
		p.add(append(table, "url"), "[drives.%s]: url = %q would depend on where the daemon is started; write a whole path, such as %q",
			name, d.URL, "file:"+inHome(path))
	}
	if !slices.Contains([]string{"", "read-write", "read-only"}, d.Mode) {
		p.add(append(table, "mode"), "[drives.%s]: mode = %q is neither \"read-write\" nor \"read-only\"", name, d.Mode)
	}
	if _, err := fs.ParseDriveID(d.ID); d.ID != "" && err != nil {
		p.add(append(table, "id"), "[drives.%s]: id = %q is not 32 hexadecimal digits", name, d.ID)
	}
}

// isRelative reports whether a path depends on the current folder.
func isRelative(path string) bool {
	return !filepath.IsAbs(path) && path != "~" && !strings.HasPrefix(path, "~/")
}

// inHome makes of a relative path one that does not depend on the current folder.
func inHome(path string) string {
	name := filepath.Base(path)
	if name == "." || name == ".." {
		return defaultMount
	}
	return "~/" + name
}

// checkOverlaps adds drives that are the same folder, or have objects in common: each would take what the other does for changes by
// somebody else.
func (c *config) checkOverlaps(p *configProblems) {
	names := c.driveNames()
	for i, name := range names {
		for _, other := range names[:i] {
			if how := c.Drives[name].overlaps(c.Drives[other], c.env); how != "" {
				p.add(toml.Key{"drives", name, "url"}, "[drives.%s]: url = %q %s drive %q; give it a url of its own, or remove one of the two tables",
					name, c.Drives[name].URL, how, other)
			}
		}
	}
}

// overlaps says how a drive and another would be in each other's way, "" if they would not.
func (d driveConfig) overlaps(other driveConfig, e environment) string {
	if d.isBucket() != other.isBucket() {
		return ""
	}
	if !d.isBucket() {
		dir, err := d.dir(e)
		otherDir, otherErr := other.dir(e)
		if err == nil && otherErr == nil && sameFolder(dir, otherDir) {
			return "is the same folder as"
		}
		return ""
	}
	bucket, prefix := d.bucket()
	otherBucket, otherPrefix := other.bucket()
	switch {
	case bucket != otherBucket || !d.sameEndpoint(other):
		return ""
	case prefix == otherPrefix:
		return "is the same place as"
	case otherPrefix == "" || within(prefix, otherPrefix):
		return "lies inside"
	case prefix == "" || within(otherPrefix, prefix):
		return "contains"
	}
	return ""
}

// sameFolder reports whether two paths are one folder, or would be if they existed.
func sameFolder(a, b string) bool {
	if a == b {
		return true
	}
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	two, err := os.Stat(b)
	return err == nil && os.SameFile(one, two)
}

// trustedProxies returns the ranges of trusted_proxies; an address alone is a range of one.
func (c *config) trustedProxies() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range c.TrustedProxies {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			list = append(list, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("trusted_proxies: %q is neither an address such as \"127.0.0.1\" nor a range such as \"10.0.0.0/8\"", text)
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}

// warnings returns what is allowed but unwise.
func (c *config) warnings() (list []string) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && !ip.IsLoopback() {
		if c.TLS.Cert == "" {
			list = append(list, "listen = "+strconv.Quote(c.Listen)+" is open to the network without TLS; set [tls], or listen on loopback behind a proxy")
		}
		if len(c.AllowedHosts) == 0 {
			list = append(list, "any Host name is answered; set allowed_hosts to the names that people use")
		}
	}
	proxies, err := c.trustedProxies()
	if err == nil && slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		list = append(list, "trusted_proxies names every address: anybody can say which host and address a request is from")
	}
	return list
}

// checkUsers adds what is wrong with the users.
func (c *config) checkUsers(p *configProblems) {
	seen := map[string]bool{}
	for _, u := range c.Users {
		sum, err := hex.DecodeString(u.TokenSHA256)
		switch {
		case checkUserName(u.Name) != nil:
			p.add(nil, "[[user]]: %v", checkUserName(u.Name))
		case seen[u.Name]:
			p.add(nil, "[[user]] %q is there twice", u.Name)
		case err != nil || len(sum) != 32:
			p.add(nil, "[[user]] %q: token_sha256 is not 64 hexadecimal digits; make one with: jupyter-drive user add", u.Name)
		}
		seen[u.Name] = true
	}
}

// checkUserName returns nil for 1 to 64 of a-z A-Z 0-9 . _ - @.
func checkUserName(name string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r))
	}
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q cannot be a user's name: 1 to 64 of a-z A-Z 0-9 . _ - @", name)
	}
	return nil
}
