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

// writeServerFiles writes the file and a page that opens the browser without a token on anybody's command line. It returns what
// removes both.
func writeServerFiles(dir string, s serverFile) (page string, remove func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fail(exitOther, "Jupyter's runtime folder cannot be made: %v", err)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(dir, fmt.Sprintf("jpserver-%d.json", s.PID))
	page = filepath.Join(dir, fmt.Sprintf("jpserver-%d-open.html", s.PID))
	var html strings.Builder
	if err := openPage.Execute(&html, s.URL+"lab?token="+s.Token); err != nil {
		return "", nil, err
	}
	remove = func() error { return errorsJoinMissing(os.Remove(file), os.Remove(page)) }
	for path, text := range map[string]string{file: string(data) + "\n", page: html.String()} {
		if err := writePrivate(path, text); err != nil {
			return "", nil, fail(exitOther, "Jupyter's runtime folder cannot be written: %v", err)
		}
	}
	return page, remove, nil
}

var openPage = template.Must(template.New("open").Parse(`<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
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
