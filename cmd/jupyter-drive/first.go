package main

import (
	"embed"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// sample holds what a first drive begins with.
//
//go:embed sample
var sample embed.FS

const firstDriveName = "home"

// firstDrive makes the drive "home" with the sample and writes it into the configuration.
func (a *app) firstDrive(cfg *config) error {
	dir := filepath.Join(a.env.dataDir(), firstDriveName)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := copySample(dir); err != nil {
			return fail(exitOther, "the first drive cannot be made: %v", err)
		}
	}
	d := driveConfig{URL: "file:" + dir, ID: fs.NewDriveID().String()}
	if id, ok, err := readLocalID(dir); err == nil && ok {
		d.ID = id.String()
	}
	err := cfg.editConfig(func(text string) (string, error) {
		return appendTable(text, "[drives."+firstDriveName+"]", [2]string{"url", d.URL}, [2]string{"id", d.ID}), nil
	})
	if err != nil {
		return err
	}
	cfg.Drives = map[string]driveConfig{firstDriveName: d}
	fmt.Fprintf(a.stderr, "Made     drive %q in %s, with a sample notebook\n", firstDriveName, dir)
	return nil
}

// copySample writes the sample files into a new folder.
func copySample(dir string) error {
	files, err := iofs.Sub(sample, "sample")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	return iofs.WalkDir(files, ".", func(path string, e iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if e.IsDir() {
			return os.Mkdir(to, 0o755)
		}
		data, err := iofs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
}
