package main

import (
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
)

// serverFile is what Jupyter's own tools read to find running servers: jpserver-PID.json in Jupyter's runtime folder, as
// jupyter_server 2 writes it.
type serverFile struct {
	BaseURL  string `json:"base_url"`
	Hostname string `json:"hostname"`
	Password bool   `json:"password"`
	PID      int    `json:"pid"`
	Port     int    `json:"port"`
	RootDir  string `json:"root_dir"`
	Secure   bool   `json:"secure"`
	Sock     string `json:"sock"`
	Token    string `json:"token"`
	URL      string `json:"url"`
	Version  string `json:"version"`
}

// serverFiles are the files by which others find one server.
type serverFiles struct {
	list string // what Jupyter's tools read
	page string // opens the browser without a token on anybody's command line
	note string // in our state folder, the name of page: a daemon that is killed cannot remove them, the next one does
}

// newServerFiles names the files of a process in Jupyter's runtime folder.
func newServerFiles(dir string, pid int, note string) serverFiles {
	name := filepath.Join(dir, fmt.Sprintf("jpserver-%d", pid))
	return serverFiles{list: name + ".json", page: name + pageSuffix, note: note}
}

const pageSuffix = "-open.html"

// write writes all, the one that others read last.
func (f serverFiles) write(s serverFile) error {
	if err := os.MkdirAll(filepath.Dir(f.page), 0o700); err != nil {
		return fail(exitOther, "Jupyter's runtime folder cannot be made: %v", err)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	var html strings.Builder
	if err := openPage.Execute(&html, s.URL+"lab?token="+s.Token); err != nil {
		return err
	}
	if err := writePrivate(f.note, f.page); err != nil {
		return fail(exitOther, "the state folder cannot be written: %v", err)
	}
	for _, x := range [][2]string{{f.page, html.String()}, {f.list, string(data) + "\n"}} {
		if err := writePrivate(x[0], x[1]); err != nil {
			return fail(exitOther, "Jupyter's runtime folder cannot be written: %v", err)
		}
	}
	return nil
}

// remove removes all. What is gone already is no error.
func (f serverFiles) remove() error {
	return errorsJoinMissing(os.Remove(f.list), os.Remove(f.page), os.Remove(f.note))
}

// removeStaleFiles removes the files of a daemon with this state folder that was killed. The caller holds the state folder's lock, so that
// it is dead. Files that another server has written since, as a process of the same number, stay.
func removeStaleFiles(note string) error {
	page, err := os.ReadFile(note)
	if err != nil {
		return errorsJoinMissing(err)
	}
	f := serverFiles{list: strings.TrimSuffix(string(page), pageSuffix) + ".json", page: string(page), note: note}
	text, err := os.ReadFile(f.page)
	if err != nil || !strings.Contains(string(text), pageMark) {
		return errorsJoinMissing(err, os.Remove(note))
	}
	return f.remove()
}

// pageMark tells our pages from those of other servers.
const pageMark = `<meta name="generator" content="jupyter-drive">`

var openPage = template.Must(template.New("open").Parse(`<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">` + pageMark + `
<meta http-equiv="refresh" content="0; url={{.}}"><title>Opening JupyterLab</title></head>
<body><p>Opening <a href="{{.}}">JupyterLab</a> …</p></body></html>
`))

// writePrivate writes a file that only the user can read, also if an old one had other rights.
func writePrivate(path, text string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}
