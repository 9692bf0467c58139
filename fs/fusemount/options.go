package fusemount

import (
	"log/slog"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
)

// FSType is the type of our mounts in the kernel's table.
const FSType = "fuse." + name

const name = "jupyter-drive"

// DefaultCacheFor is how long the kernel keeps names and attributes without asking again.
const DefaultCacheFor = time.Second

// DefaultMaxNodes is how many files and folders the kernel knows at most, but for those that it uses.
const DefaultMaxNodes = 80_000

// Caller is who makes a request.
type Caller struct {
	UID, GID uint32 // effective; for access(2) real
	TID      uint32 // the thread; 0 = unknown
	PID      uint32 // the thread's process; 0 = unknown
}

// Options configure a mount. View and Mountpoint are required.
type Options struct {
	// Mountpoint is the directory, made if it is missing. "/dev/fd/N" takes over a descriptor of /dev/fuse that somebody else
	// has mounted, who then also unmounts.
	Mountpoint string
	// View returns what the caller may see. It is called for every request and must be quick. All views are of the same tree.
	View func(Caller) (*access.View, error)
	// Observe registers the mount for the tree's changes; nil = what happens elsewhere is seen after CacheFor. The function it
	// returns, which may be nil, ends that.
	Observe func(fs.Observer) (stop func())
	// PerCaller says that views differ: names and attributes, which the kernel would share between callers, are not cached, and it
	// reads no file by itself.
	PerCaller bool

	AllowOther bool   // other users may enter; the kernel then checks modes
	NonEmpty   bool   // mount over a directory that has entries
	FsName     string // shown as the device; "" = "jupyter-drive"

	NoPassthrough bool          // the kernel reads no local file by itself
	NoEcho        bool          // inotify watchers are not told of changes made elsewhere
	CacheFor      time.Duration // 0 = DefaultCacheFor, negative = not at all
	MaxNodes      int           // over which the kernel is asked to let go of files that it does not use; 0 = DefaultMaxNodes

	Logger       *slog.Logger // nil = discard
	PanicHandler func(v any)  // called after a panic in a handler was logged; nil = nothing
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FsName == "" {
		o.FsName = name
	}
	if o.MaxNodes == 0 {
		o.MaxNodes = DefaultMaxNodes
	}
	switch {
	case o.PerCaller || o.CacheFor < 0:
		// Handles of one inode share the way: one who may not read so would.
		o.NoPassthrough = o.NoPassthrough || o.PerCaller
		o.CacheFor = 0
	case o.CacheFor == 0:
		o.CacheFor = DefaultCacheFor
	}
}
