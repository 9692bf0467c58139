package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

const (
	coldBound = 0.8   // of the rate of the store's own client with 8 streams
	lineRate  = 250e6 // bytes per second of a line of 2 Gbit/s
)

// coldRows set a first read of the big object beside the store's own client: on a line of a known rate, and where the machine's processors
// are the limit, for the server and its counting proxy run on them too. There the last row tells what is possible: the store's own client
// reads the object while a mount hands on as many bytes that it has at once, as any mount must besides reading them.
func (b *bucket) coldRows(ctx context.Context) (err error) {
	line, err := faultproxy.Start(faultproxy.Options{
		Upstream: b.server.URL, Latency: latency, Rate: lineRate, AccessKey: versitygw.AccessKey, SecretKey: versitygw.SecretKey,
	})
	if err != nil {
		return err
	}
	defer line.Close()
	file, stop, err := startHandsOn(ctx, b.work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	fmt.Printf("\n%-36s %15s %15s %8s\n", "read of 512 MiB from the store", "mount", "8 streams", "ratio")
	for _, row := range []struct {
		name string
		url  string
		ours func() (time.Duration, error)
	}{
		{"line of 2 Gbit/s", line.URL, func() (time.Duration, error) { return b.readCold(ctx, line.URL) }},
		{"no limit but the processors", b.proxy.URL, func() (time.Duration, error) { return b.readCold(ctx, b.proxy.URL) }},
		{"the least that a mount must do there", b.proxy.URL, func() (time.Duration, error) { return readAndHandOn(ctx, newSDK(b.proxy.URL), file) }},
	} {
		client := newSDK(row.url)
		var all []pair
		for i := range rounds {
			p, err := inTurn(i, row.ours, func() (time.Duration, error) { return timeOf(func() error { return client.readBig(ctx) }) })
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		speedRow(row.name, all, coldBound)
	}
	return nil
}

// readCold returns how long a drive with an empty cache takes for the big object.
func (b *bucket) readCold(ctx context.Context, endpoint string) (took time.Duration, err error) {
	dir, stop, err := startBinary(ctx, b.binary, endpoint, b.server.Env())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return timeOf(func() error { return readBig(dir) })
}

// readAndHandOn returns how long it takes until the client has read the big object and the file has been read, which go on side by side.
func readAndHandOn(ctx context.Context, client *sdk, file string) (time.Duration, error) {
	return timeOf(func() error {
		read := make(chan error, 1)
		go func() { read <- readWarm(file, false, true) }()
		return errors.Join(client.readBig(ctx), <-read)
	})
}

// handsOnMount is the argument with which this program runs itself as the mount that only hands on.
const handsOnMount = "hands-on"

// startHandsOn mounts it and returns its file.
func startHandsOn(ctx context.Context, work string) (string, func() error, error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	mnt := filepath.Join(work, "hands-on.mnt")
	if err := os.MkdirAll(mnt, 0o755); err != nil {
		return "", nil, err
	}
	stop, err := startProcess(ctx, mnt, nil, self, handsOnMount, mnt)
	return filepath.Join(mnt, "big.bin"), stop, err
}

// runHandsOn is what it does until ctx ends.
func runHandsOn(ctx context.Context, args []string) error {
	root := &gofs.Inode{}
	var timeout = time.Hour
	server, err := gofs.Mount(args[0], root, &gofs.Options{
		EntryTimeout: &timeout, AttrTimeout: &timeout,
		OnAdd: func(ctx context.Context) {
			root.AddChild("big.bin", root.NewPersistentInode(ctx, &handedOn{bytes: make([]byte, 1<<20)}, gofs.StableAttr{Mode: syscall.S_IFREG}), false)
		},
		MountOptions: fuse.MountOptions{MaxWrite: 1 << 20, DirectMount: true},
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = server.Unmount() }) // whoever began it has unmounted it
	server.Wait()
	return nil
}

// handedOn is a file of the big object's size whose bytes are in memory.
type handedOn struct {
	gofs.Inode
	bytes []byte // as many as the kernel asks for at once
}

func (h *handedOn) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Size, out.Mode = bigObject, 0o444
	return 0
}

func (h *handedOn) Open(context.Context, uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (h *handedOn) Read(_ context.Context, _ gofs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n := max(min(int64(len(dest)), bigObject-off, int64(len(h.bytes))), 0)
	return fuse.ReadResultData(h.bytes[:n]), 0
}
