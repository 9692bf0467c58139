package fusemount

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
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
	return fuse.NewServer(gofuse.NewNodeFS(m.root, opts), m.mountpoint, &opts.MountOptions)
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
