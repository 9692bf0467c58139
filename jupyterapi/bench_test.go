package jupyterapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// discard is a ResponseWriter that counts.
type discard struct {
	header http.Header
	n      int64
	status int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(s int)   { d.status = s }
func (d *discard) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	return len(p), nil
}

// answer serves one request without a network in between.
func (s *site) answer(b *testing.B, method, target string, body io.Reader) int64 {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), method, target, body)
	r.Host = "localhost"
	r.Header.Set("Authorization", "token "+adaToken)
	w := &discard{header: http.Header{}, status: 200}
	s.api.serve(w, r)
	if w.status >= 300 {
		b.Fatalf("%s %s = %d", method, target, w.status)
	}
	return w.n
}

func quiet(o *Options) { o.Logger = nil }

func BenchmarkList10000(b *testing.B) {
	s := newSite(b, siteOptions{options: quiet})
	for i := range 10000 {
		s.write(fs.Path(fmt.Sprintf("file-%05d.txt", i)), "x")
	}
	b.ResetTimer()
	for b.Loop() {
		b.SetBytes(s.answer(b, get, "/api/contents", nil))
	}
}

func BenchmarkStat(b *testing.B) {
	s := newSite(b, siteOptions{options: quiet})
	s.write("a.txt", "x")
	for b.Loop() {
		s.answer(b, get, "/api/contents/a.txt?content=0&hash=1", nil)
	}
}

// largeNotebook returns a save of a notebook of about n bytes: a hundred plots and tables.
func largeNotebook(b *testing.B, n int) []byte {
	b.Helper()
	var cells []any
	for i := range 100 {
		cells = append(cells, map[string]any{
			"cell_type": "code", "id": fmt.Sprint("c", i), "metadata": map[string]any{}, "execution_count": i, "source": "plot()\n",
			"outputs": []any{map[string]any{"output_type": "display_data", "metadata": map[string]any{}, "data": map[string]any{
				"image/png": strings.Repeat("iVBORw0KGgo=", n/200/12), "text/plain": strings.Repeat("0123456789 0123456789\n", n/200/22),
			}}},
		})
	}
	data, err := json.Marshal(map[string]any{"type": "notebook", "format": "json", "content": map[string]any{
		"cells": cells, "metadata": map[string]any{}, "nbformat": 4, "nbformat_minor": 5,
	}})
	if err != nil {
		b.Fatal(err)
	}
	return data
}

func BenchmarkPutNotebook50MB(b *testing.B) {
	s := newSite(b, siteOptions{options: quiet})
	body := largeNotebook(b, 50<<20)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		s.answer(b, put, "/api/contents/n.ipynb", bytes.NewReader(body))
	}
}

func BenchmarkGetNotebook50MB(b *testing.B) {
	s := newSite(b, siteOptions{options: quiet})
	body := largeNotebook(b, 50<<20)
	s.answer(b, put, "/api/contents/n.ipynb", bytes.NewReader(body))
	for b.Loop() {
		b.SetBytes(s.answer(b, get, "/api/contents/n.ipynb?hash=1", nil))
	}
}

// BenchmarkGet200MB reports the memory that a large file takes on its way.
func BenchmarkGet200MB(b *testing.B) {
	s := newSite(b, siteOptions{options: quiet})
	chunk := bytes.Repeat([]byte{0xff, 1, 2, 3}, 1<<18)
	parts := make([]io.Reader, 200)
	for i := range parts {
		parts[i] = bytes.NewReader(chunk)
	}
	if _, err := s.view().Replace(context.Background(), "big.bin", io.MultiReader(parts...), fs.ReplaceOptions{}); err != nil {
		b.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		b.SetBytes(s.answer(b, get, "/api/contents/big.bin?hash=1", nil))
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/(1<<20), "MB/op")
}
