package mem_test

import (
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/backendtest"
	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestBackendContract(t *testing.T) {
	backendtest.Run(t, backendtest.Options{
		New: func(*testing.T) fs.Backend {
			return mem.NewBackend(mem.BackendOptions{Versions: true, Caps: func(c *fs.Caps) { c.PartMin, c.PreferWrite = 64<<10, 64<<10 }})
		},
		Inject: func(_ *testing.T, b fs.Backend, raw string, data []byte, _ map[string]string) {
			b.(*mem.Backend).Inject(raw, data, fs.WriteOptions{})
		},
		Skips: map[string]string{
			"attributes/of others": "the store in memory keeps attributes as they are, not as others encode them",
		},
	})
}
