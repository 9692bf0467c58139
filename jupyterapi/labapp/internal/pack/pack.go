package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp/internal/archive"
)

// selection changes whenever files are chosen or stored differently, so that older archives are made anew.
const selection = "1"

// packer makes an archive from the wheels of a list.
type packer struct {
	python string // interpreter that has pip
	cache  string // folder of wheels
	list   string // requirements file
	out    string // archive
	stderr io.Writer
}

// pack makes the archive unless it is up to date, and says in one line which it was.
func (p *packer) pack(ctx context.Context) (string, error) {
	list, err := os.ReadFile(p.list)
	if err != nil {
		return "", fmt.Errorf("read the list of wheels: %w", err)
	}
	wheels, err := parseRequirements(bytes.NewReader(list))
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.list, err)
	}
	sum := sha256.Sum256(append([]byte(selection+"\n"), list...))
	key := hex.EncodeToString(sum[:])
	if p.upToDate(key) {
		return p.out + " is up to date", nil
	}
	paths, err := p.fetch(ctx, wheels)
	if err != nil {
		return "", err
	}
	var files []archive.File
	for i, path := range paths {
		more, err := readWheel(path, wheels[i])
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		files = append(files, more...)
	}
	size, err := writeArchive(p.out, key, files)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %d files, %.1f MB", p.out, len(files), float64(size)/1e6), nil
}

// upToDate reports whether the archive was made with key.
func (p *packer) upToDate(key string) bool {
	f, err := os.Open(p.out)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	tree, err := archive.Open(f, info.Size())
	return err == nil && tree.Key() == key
}

// fetch returns the path of each wheel in the cache, after pip has downloaded what is missing there.
func (p *packer) fetch(ctx context.Context, wheels []requirement) ([]string, error) {
	if err := os.MkdirAll(p.cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	found, err := p.cached()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(wheels, func(w requirement) bool { return found[w.sha256] == "" }) {
		if err := p.download(ctx); err != nil {
			return nil, err
		}
		if found, err = p.cached(); err != nil {
			return nil, err
		}
	}
	paths := make([]string, len(wheels))
	for i, w := range wheels {
		if paths[i] = found[w.sha256]; paths[i] == "" {
			return nil, fmt.Errorf("pip downloaded no wheel of %s with sha256 %s", w.name, w.sha256)
		}
	}
	return paths, nil
}

// cached returns the wheels in the cache by the sha256 of their bytes.
func (p *packer) cached() (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(p.cache, "*.whl"))
	if err != nil {
		return nil, fmt.Errorf("list the cache folder: %w", err)
	}
	found := make(map[string]string, len(paths))
	for _, path := range paths {
		sum, err := fileSum(path)
		if err != nil {
			return nil, fmt.Errorf("check %s: %w", path, err)
		}
		found[sum] = path
	}
	return found, nil
}

// fileSum returns the sha256 of a file in hex.
func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeArchive writes the archive beside path and renames it over, and returns its size.
func writeArchive(path, key string, files []archive.File) (size int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, fmt.Errorf("make the archive's folder: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".pack-*")
	if err != nil {
		return 0, fmt.Errorf("write the archive: %w", err)
	}
	defer func() {
		if rmErr := os.Remove(tmp.Name()); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	err = archive.Write(tmp, key, files)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		size, err = tmp.Seek(0, io.SeekCurrent)
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return 0, fmt.Errorf("write the archive: %w", err)
	}
	return size, os.Rename(tmp.Name(), path)
}
