package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// What the bucket holds, and how far away it is.
const (
	latency      = 20 * time.Millisecond // of each request
	manyObjects  = 10_000                // of about 100 bytes, in many/
	bigObject    = 512 << 20             // big.bin
	notebook     = 200 << 10             // notebook.ipynb
	randomReads  = 300
	newFiles     = 100
	missingNames = 100
	saves        = 30
	saveSize     = 100 << 10
)

// bucket is the server with the proxy that counts before it.
type bucket struct {
	server *versitygw.Server
	proxy  *faultproxy.Proxy
	work   string // folder for the mounts
	binary string
	plain  string // a file on the local disk of the big object's size
}

// runBuckets prints what each program makes of the same work, or one of them, or with "own" what the built program does with what is cached.
func runBuckets(ctx context.Context, only string) (err error) {
	work, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	b := &bucket{work: work, binary: filepath.Join(work, "jupyter-drive"), plain: filepath.Join(work, "plain")}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.binary, "./cmd/jupyter-drive")
	build.Dir = sandbox.Module()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	program := filepath.Join(sandbox.Module(), ".cache", "bin", "versitygw")
	if b.server, err = versitygw.Start(ctx, program, versitygw.Options{}); err != nil {
		return fmt.Errorf("run it with: make bench: %w", err)
	}
	defer func() { err = errors.Join(err, b.server.Close()) }()
	b.proxy, err = faultproxy.Start(faultproxy.Options{
		Upstream: b.server.URL, Latency: latency, AccessKey: versitygw.AccessKey, SecretKey: versitygw.SecretKey,
	})
	if err != nil {
		return err
	}
	defer b.proxy.Close()
	if err := b.fill(ctx); err != nil {
		return err
	}
	switch only {
	case "cold":
		return b.coldRows(ctx)
	case "own":
		return b.ownRows(ctx)
	case "":
		if err := b.ownRows(ctx); err != nil {
			return err
		}
	}
	return b.compare(ctx, only)
}

// fill makes the objects, past the proxy.
func (b *bucket) fill(ctx context.Context) error {
	keys := make(chan string)
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for key := range keys {
				if err := b.put(ctx, key, strings.NewReader(strings.Repeat("text of an object ", 6)), 108); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	for i := range manyObjects {
		keys <- fmt.Sprintf("many/object-%05d.txt", i)
	}
	close(keys)
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	random := rand.NewChaCha8([32]byte{1})
	if err := b.put(ctx, "notebook.ipynb", io.LimitReader(random, notebook), notebook); err != nil {
		return err
	}
	if err := b.put(ctx, "big.bin", io.LimitReader(random, bigObject), bigObject); err != nil {
		return err
	}
	plain, err := os.Create(b.plain)
	if err != nil {
		return err
	}
	_, err = io.Copy(plain, io.LimitReader(random, bigObject))
	return errors.Join(err, plain.Close())
}

func (b *bucket) put(ctx context.Context, key string, body io.Reader, size int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, b.server.URL+"/"+versitygw.Bucket+"/"+key, body)
	if err != nil {
		return err
	}
	r.ContentLength = size
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	response, err := b.proxy.Do(r)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("PUT %s: %s", key, response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// task is a row of the table.
type task struct {
	name  string
	cold  bool // begins with a new mount and empty caches
	reads bool // or lists
	do    func(dir string) error
	plain func(context.Context) error // the same with the store's own client; nil = there is nothing like it
}

// tasks are the rows, for mounts and for the store's own client. Those that are not cold go on in the mount of the row before.
func tasks(c *sdk) []task {
	return []task{
		{"list of 10,000, cold", true, true, listMany, c.listMany},
		{"list of 10,000, warm", false, true, listMany, c.listMany},
		{"stat of all, after the list", false, true, statAll, nil},
		{"stat of 100 missing names", false, true, statMissing, c.statMissing},
		{"300 reads of 4 KiB, random", true, true, func(dir string) error { return readRandom(dir, 4<<10) }, func(ctx context.Context) error { return c.readRandom(ctx, 4<<10) }},
		{"300 reads of 128 KiB, random", true, true, func(dir string) error { return readRandom(dir, 128<<10) }, func(ctx context.Context) error { return c.readRandom(ctx, 128<<10) }},
		{rowCold, true, true, readBig, c.readBig},
		{rowWarm, false, true, readBig, c.readBig},
		{"open and read of a notebook, cold", true, true, readNotebook, c.readNotebook},
		{"create of 100 files of 4 KiB", true, false, createFiles, c.createFiles},
		{"30 saves by rename, 1 s apart", true, false, func(dir string) error { return saveEach(dir, saveByRename) }, c.saveEach},
		{"30 saves in place, 1 s apart", true, false, func(dir string) error { return saveEach(dir, saveInPlace) }, c.saveEach},
	}
}

// The rows that are set beside other speeds.
const (
	rowCold = "read of 512 MiB, cold"
	rowWarm = "read of 512 MiB, warm"
)

func readNotebook(dir string) error {
	_, err := os.ReadFile(filepath.Join(dir, "notebook.ipynb"))
	return err
}

func listMany(dir string) error {
	entries, err := os.ReadDir(filepath.Join(dir, "many"))
	if err == nil && len(entries) != manyObjects {
		err = fmt.Errorf("%d entries", len(entries))
	}
	return err
}

func statAll(dir string) error {
	for i := range manyObjects {
		info, err := os.Stat(filepath.Join(dir, "many", fmt.Sprintf("object-%05d.txt", i)))
		if err != nil {
			return err
		}
		if info.Size() != 108 {
			return fmt.Errorf("%s has %d bytes", info.Name(), info.Size())
		}
	}
	return nil
}

func statMissing(dir string) error {
	for i := range missingNames {
		if _, err := os.Stat(filepath.Join(dir, "many", fmt.Sprintf("missing-%d", i))); !os.IsNotExist(err) {
			return fmt.Errorf("a missing file: %w", err)
		}
	}
	return nil
}

func readRandom(dir string, size int) error {
	f, err := os.Open(filepath.Join(dir, "big.bin"))
	if err != nil {
		return err
	}
	buf := make([]byte, size)
	for _, off := range randomPlaces(size) {
		if _, err := f.ReadAt(buf, off); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// randomPlaces returns where random reads begin, the same for all.
func randomPlaces(size int) []int64 {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]int64, randomReads)
	for i := range all {
		all[i] = r.Int64N(bigObject-int64(size)) / 4096 * 4096
	}
	return all
}

func readBig(dir string) error {
	f, err := os.Open(filepath.Join(dir, "big.bin"))
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, make([]byte, 1<<20))
	if err == nil && n != bigObject {
		err = fmt.Errorf("%d bytes", n)
	}
	return errors.Join(err, f.Close())
}

func createFiles(dir string) error {
	dir = filepath.Join(dir, fmt.Sprintf("new-%d", time.Now().UnixNano()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range newFiles {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, 4<<10), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// saveEach saves a file again and again, as a person does.
func saveEach(dir string, save func(path string, data []byte) error) error {
	path := filepath.Join(dir, "saved.ipynb")
	random := rand.NewChaCha8([32]byte{2})
	data := make([]byte, saveSize)
	for range saves {
		if _, err := random.Read(data); err != nil {
			return err
		}
		begin := time.Now()
		if err := save(path, data); err != nil {
			return err
		}
		time.Sleep(time.Second - time.Since(begin))
	}
	return nil
}

// writeSynced writes a file and makes it durable.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func saveByRename(path string, data []byte) error {
	temp := path + ".tmp"
	if err := writeSynced(temp, data); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// saveInPlace saves as Jupyter's own server does: a copy beside the file, the file written anew, the copy removed.
func saveInPlace(path string, data []byte) error {
	copied := filepath.Join(filepath.Dir(path), ".~"+filepath.Base(path))
	old, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(copied, old, 0o644)
	}
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := writeSynced(path, data); err != nil {
		return err
	}
	if err := os.Remove(copied); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
