package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// The configuration file belongs to its user: commands change single tables in it as text and leave comments and order alone.

// editConfig changes the file's text, checks the result before it counts, and replaces the file in one step. Edits by several
// commands at once wait for each other. A link in the file's place stays, and so do the file's rights.
func (c *config) editConfig(edit func(text string) (string, error)) error {
	unlock, err := c.lock()
	if err != nil {
		return fail(exitConfig, "the configuration's folder cannot be used: %v", err)
	}
	defer unlock()
	path := resolved(c.path)
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return fail(exitConfig, "the configuration cannot be read: %v", err)
	}
	text := string(data)
	if len(data) == 0 {
		text = "version = 1\n"
	}
	text, err = edit(text)
	if err != nil {
		return err
	}
	if err := defaultConfig(c.env, c.path).parse([]byte(text)); err != nil {
		return err
	}
	if err := replaceFile(path, text); err != nil {
		return fail(exitConfig, "the configuration cannot be written: %v", err)
	}
	return nil
}

// lock waits until no other command edits the file. The lock is on the folder, because the file is replaced.
func (c *config) lock() (unlock func(), err error) {
	if err := c.configDir(); err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(c.path))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() { _ = dir.Close() }, nil // nothing was written to it
}

// replaceFile gives a file new contents in one step. A new file is its user's alone.
func replaceFile(path, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".config-*.toml")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // after the rename there is nothing to remove
	_, err = tmp.WriteString(text)
	if old, missing := os.Stat(path); missing == nil && err == nil {
		err = tmp.Chmod(old.Mode().Perm())
	}
	for _, step := range []func() error{tmp.Sync, tmp.Close} {
		if e := step(); err == nil {
			err = e
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// appendTable adds a table at the end. Values are written as TOML strings; pairs without one are left out.
func appendTable(text, header string, pairs ...[2]string) string {
	for i, p := range pairs {
		if p[1] != "" {
			pairs[i][1] = quote(p[1])
		}
	}
	return appendLines(text, header, pairs...)
}

// appendLines is appendTable for values that are TOML already.
func appendLines(text, header string, pairs ...[2]string) string {
	var b strings.Builder
	b.WriteString(strings.TrimRight(text, "\n"))
	fmt.Fprintf(&b, "\n\n%s\n", header)
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(&b, "%s = %s\n", p[0], p[1])
		}
	}
	return b.String()
}

// quote writes a TOML string.
func quote(s string) string {
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(map[string]string{"v": s}); err != nil {
		return `""` // a string can always be encoded
	}
	_, v, _ := strings.Cut(strings.TrimSpace(b.String()), "= ")
	return v
}

// removeTable cuts out the tables with that header for which match returns true of their lines, with the comments right above
// them. It reports whether there was one.
func removeTable(text, header string, match func(body []string) bool) (string, bool) {
	lines := strings.SplitAfter(text, "\n")
	var out []string
	found := false
	for i := 0; i < len(lines); {
		if strings.TrimSpace(strings.SplitN(lines[i], "#", 2)[0]) != header {
			out = append(out, lines[i])
			i++
			continue
		}
		end := i + 1
		for end < len(lines) && !strings.HasPrefix(strings.TrimSpace(lines[end]), "[") {
			end++
		}
		if !match(lines[i+1 : end]) {
			out = append(out, lines[i:end]...)
			i = end
			continue
		}
		found = true
		for len(out) > 0 && strings.HasPrefix(strings.TrimSpace(out[len(out)-1]), "#") {
			out = out[:len(out)-1]
		}
		// Comments right above the next table belong to that one.
		for end > i+1 && strings.HasPrefix(strings.TrimSpace(lines[end-1]), "#") {
			end--
		}
		i = end
	}
	return strings.Join(out, ""), found
}

// hasLine reports whether a table's lines set key to the string value.
func hasLine(body []string, key, value string) bool {
	var table map[string]any
	if _, err := toml.Decode(strings.Join(body, ""), &table); err != nil {
		return false
	}
	return table[key] == value
}
