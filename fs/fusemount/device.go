package fusemount

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// newServer mounts. A kernel or a shell must not inherit the FUSE device: it could answer in our place, and the mount of a daemon that
// was killed would wait for it. go-fuse leaves the device open to children when it mounts without a helper, so until that is put right
// no process is started.
func (m *Server) newServer(opts *gofuse.Options) (*fuse.Server, error) {
	if opts.DirectMountStrict {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		defer keepFromChildren("/dev/fuse")
	}
	return fuse.NewServer(&requests{gofuse.NewNodeFS(m.root, opts), m}, m.mountpoint, &opts.MountOptions)
}

// requests are those of the kernel, before go-fuse makes them operations of nodes.
type requests struct {
	fuse.RawFileSystem
	m *Server
}

// Release ends a handle. Only when go-fuse is done with it may the node be opened in another way: until then what is opened gets the
// file that the kernel reads by itself.
func (r *requests) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	r.RawFileSystem.Release(cancel, in)
	if f, ok := r.m.leaving.LoadAndDelete(cancel); ok {
		h, _ := f.(*handle)
		h.n.closed(h)
	}
}

// Write notes whether what comes was changed in the memory of a mapped file.
func (r *requests) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	defer r.m.noteMapped(cancel, in)()
	return r.RawFileSystem.Write(cancel, in, data)
}

// Writev is Write, and is asked first.
func (r *requests) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	defer r.m.noteMapped(cancel, in)()
	return r.RawFileSystem.Writev(cancel, in, data)
}

// noteMapped has isMapped answer for a write until it is done.
func (m *Server) noteMapped(cancel <-chan struct{}, in *fuse.WriteIn) (done func()) {
	if in.WriteFlags&fuse.WRITE_CACHE == 0 {
		return func() {}
	}
	m.mapped.Store(cancel, nil)
	return func() { m.mapped.Delete(cancel) }
}

// isMapped reports whether a write brings what was changed in the memory of a mapped file.
func (m *Server) isMapped(ctx context.Context) bool {
	request, ok := ctx.(*fuse.Context)
	if !ok {
		return false
	}
	_, mapped := m.mapped.Load(request.Cancel)
	return mapped
}

// canPassThrough reports whether the kernel takes files to read and write by itself: it must know how, and the daemon must have
// CAP_SYS_ADMIN.
func canPassThrough(server *fuse.Server) bool {
	fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC)
	if err != nil {
		return false
	}
	defer closeFd(fd)
	id, errno := server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(fd)})
	return errno == 0 && server.UnregisterBackingFd(id) == 0
}

// keepFromChildren closes this process's descriptors of a device in processes that it starts from now on.
func keepFromChildren(device string) {
	const table = "/proc/self/fd"
	entries, err := os.ReadDir(table)
	if err != nil {
		return // without /proc nothing of ours can be mounted either
	}
	for _, e := range entries {
		if name, err := os.Readlink(filepath.Join(table, e.Name())); err != nil || name != device {
			continue
		}
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			syscall.CloseOnExec(fd)
		}
	}
}
