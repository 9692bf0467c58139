package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp/internal/archive"
)

// requirement is one line of the list of wheels.
type requirement struct {
	name    string // distribution
	version string
	sha256  string // of the wheel, hex
}

var requirementLine = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!-]+)\s+--hash=sha256:([0-9a-f]{64})$`)

// parseRequirements reads a pip requirements file of exact versions with one sha256 each. Empty lines and comments are skipped,
// anything else is an error that names the line.
func parseRequirements(r io.Reader) ([]requirement, error) {
	var list []requirement
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := requirementLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d: want NAME==VERSION --hash=sha256:HEX, got %q", n, line)
		}
		list = append(list, requirement{name: m[1], version: m[2], sha256: m[3]})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no wheel is listed")
	}
	return list, nil
}

// download lets pip download the list into the cache; pip checks the sums as well.
func (p *packer) download(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--require-hashes", "--only-binary=:all:", "-r", p.list, "-d", p.cache)
	cmd.Stdout, cmd.Stderr = p.stderr, p.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("download the wheels with %s: %w (is pip installed? another interpreter can be named with -python)", p.python, err)
	}
	return nil
}

// readWheel returns the files of a wheel that a browser may ask for, under lab/ and labextensions/, and its licences under licenses/.
func readWheel(wheel string, from requirement) ([]archive.File, error) {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var files []archive.File
	for _, member := range z.File {
		name, ok := nameInArchive(member.Name, from)
		if !ok {
			continue
		}
		data, err := readMember(member)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member.Name, err)
		}
		if !isFontForOldBrowsers(name, data) {
			files = append(files, archive.File{Name: name, Data: data})
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no front end in the wheel of %s", from.name)
	}
	return files, nil
}

// nameInArchive maps a member of a wheel to its place in the archive; false means that it is left out.
func nameInArchive(member string, from requirement) (string, bool) {
	if strings.HasSuffix(member, "/") || path.Ext(member) == ".map" {
		return "", false
	}
	if _, name, ok := strings.Cut(member, ".data/data/share/jupyter/"); ok {
		return name, strings.HasPrefix(name, "lab/") || strings.HasPrefix(name, "labextensions/")
	}
	if dir, name, ok := strings.Cut(member, ".dist-info/"); ok && !strings.Contains(dir, "/") {
		base := strings.ToUpper(path.Base(name))
		if strings.HasPrefix(base, "LICEN") || strings.HasPrefix(base, "COPYING") || strings.HasPrefix(base, "NOTICE") {
			return path.Join("licenses", from.name+"-"+from.version, path.Base(name)), true
		}
	}
	return "", false
}

// isFontForOldBrowsers tells of fonts that browsers without WOFF support alone would request: EOT and SVG fonts.
func isFontForOldBrowsers(name string, data []byte) bool {
	switch path.Ext(name) {
	case ".eot":
		return true
	case ".svg":
		return bytes.Contains(data, []byte("<font "))
	}
	return false
}

// readMember returns the content of a member, up to the size that an archive takes.
func readMember(member *zip.File) ([]byte, error) {
	r, err := member.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, archive.MaxFileSize+1))
}
