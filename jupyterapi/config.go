package jupyterapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// configStore keeps the sections of /api/config: a JSON object for each user and section.
type configStore struct {
	dir string

	mu sync.Mutex // held while a section is read and written
}

// file returns where a section is. Names of sections are words.
func (s *configStore) file(user, section string) string {
	return filepath.Join(s.dir, "config", url.QueryEscape(user), section+".json")
}

// get returns a section; one that is not there is empty. The caller holds mu.
func (s *configStore) get(user, section string) (map[string]any, error) {
	data, err := os.ReadFile(s.file(user, section))
	if errors.Is(err, os.ErrNotExist) {
		return map[string]any{}, nil
	}
	if err != nil {
		return nil, fs.Wrap("config", section, err)
	}
	values := map[string]any{}
	return values, fs.Wrap("config", section, unmarshal(data, &values))
}

// put replaces a section. The caller holds mu.
func (s *configStore) put(user, section string, values map[string]any) error {
	data, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		return fs.Wrap("config", section, err)
	}
	file := s.file(user, section)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fs.Wrap("config", section, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return fs.Wrap("config", section, err)
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fs.Wrap("config", section, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// getConfig answers GET /api/config/{section}.
func getConfig(c *call) error {
	c.s.config.mu.Lock()
	defer c.s.config.mu.Unlock()
	values, err := c.s.config.get(c.caller.Principal.ID, c.vars["section"])
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, values)
}

// putConfig answers PUT /api/config/{section}: the section as a whole.
func putConfig(c *call) error {
	values, err := c.object()
	if err != nil {
		return err
	}
	c.s.config.mu.Lock()
	defer c.s.config.mu.Unlock()
	if err := c.s.config.put(c.caller.Principal.ID, c.vars["section"], values); err != nil {
		return err
	}
	return c.noContent(http.StatusNoContent)
}

// patchConfig answers PATCH /api/config/{section}: values are merged, null removes one.
func patchConfig(c *call) error {
	changes, err := c.object()
	if err != nil {
		return err
	}
	c.s.config.mu.Lock()
	defer c.s.config.mu.Unlock()
	values, err := c.s.config.get(c.caller.Principal.ID, c.vars["section"])
	if err != nil {
		return err
	}
	merge(values, changes)
	if err := c.s.config.put(c.caller.Principal.ID, c.vars["section"], values); err != nil {
		return err
	}
	return c.reply(http.StatusOK, values)
}

// object reads a body that is a JSON object.
func (c *call) object() (map[string]any, error) {
	values := map[string]any{}
	sent, err := c.decode(&values)
	if err == nil && (!sent || values == nil) {
		err = failed(http.StatusBadRequest, "No JSON data provided")
	}
	return values, err
}

// merge puts changes into values, object by object. Objects that become empty are removed.
func merge(values, changes map[string]any) {
	for key, change := range changes {
		inner, isObject := change.(map[string]any)
		if !isObject {
			if change == nil {
				delete(values, key)
			} else {
				values[key] = change
			}
			continue
		}
		old, wasObject := values[key].(map[string]any)
		if !wasObject {
			old = map[string]any{}
		}
		merge(old, inner)
		if len(old) == 0 {
			delete(values, key)
		} else {
			values[key] = old
		}
	}
}
