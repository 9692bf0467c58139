package drive

import (
	"log/slog"
	"os"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
)

// When a close(2) returns.
const (
	CloseLocal  = "local"  // when what was written survives a crash of the daemon
	CloseUpload = "upload" // when the store has it
)

// Defaults of Options.
const (
	DefaultNamesTTL       = 30 * time.Second
	DefaultContentsTTL    = 5 * time.Second
	DefaultDeadline       = 30 * time.Second
	DefaultUploads        = 16
	DefaultPartSize       = 16 << 20
	DefaultCheckpointSize = 16 << 20
	DefaultMaxNodes       = 150_000
	DefaultDirtyLimit     = 10 << 30
)

// Options configure a Drive. ID, Backend and State are needed.
type Options struct {
	ID      fs.DriveID
	Name    string // for messages
	Backend fs.Backend
	State   string // folder of this drive alone: journal and staging files. What is in it must not be lost.

	Listings string // file for what directories have, so that they can be listed after a start without the store; "" = none. It is a cache.

	Cache *blockcache.Cache // of what was read, shared by all drives; nil = none
	Pool  *fetch.Pool       // through which is read, shared by all drives; nil = each read is a request

	Actor         string       // who the losing side of a conflict is said to be; "" = the name of the machine
	Close         string       // CloseLocal (""), or CloseUpload
	LocalPatterns []string     // names that are never uploaded, as path.Match has them: "*.swp", "node_modules"
	Trash         bool         // what is removed is kept in the store for a while
	ReadOnly      bool         // refuse every change
	UID, GID      uint32       // to whom belongs what does not say so
	Logger        *slog.Logger // its messages do not name the drive: With does; nil = discard

	NamesTTL       time.Duration // how old a listing may be; 0 = DefaultNamesTTL
	ContentsTTL    time.Duration // how old contents may be when they are opened; 0 = DefaultContentsTTL
	Deadline       time.Duration // how long somebody waits for the store; 0 = DefaultDeadline
	Uploads        int           // requests at a time that bring the store up to date; 0 = DefaultUploads
	PartSize       int64         // over which a file is uploaded in parts; 0 = DefaultPartSize
	DirtyLimit     int64         // bytes of staging files over which writers wait; 0 = DefaultDirtyLimit
	CheckpointSize int64         // bytes of the journal over which it is made short; 0 = DefaultCheckpointSize
	SegmentSize    int64         // of the journal; 0 = its own default

	MaxNodes int // files and folders known at a time, over which those are let go of that nobody uses; 0 = DefaultMaxNodes

	hook func(point string) // called at every point where a crash makes a difference
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Actor == "" {
		if o.Actor, _ = os.Hostname(); o.Actor == "" {
			o.Actor = "unknown"
		}
	}
	for _, v := range []struct {
		at    *time.Duration
		value time.Duration
	}{{&o.NamesTTL, DefaultNamesTTL}, {&o.ContentsTTL, DefaultContentsTTL}, {&o.Deadline, DefaultDeadline}} {
		if *v.at == 0 {
			*v.at = v.value
		}
	}
	if o.MaxNodes == 0 {
		o.MaxNodes = DefaultMaxNodes
	}
	if o.Uploads == 0 {
		o.Uploads = DefaultUploads
	}
	for _, v := range []struct {
		at    *int64
		value int64
	}{{&o.PartSize, DefaultPartSize}, {&o.CheckpointSize, DefaultCheckpointSize}, {&o.DirtyLimit, DefaultDirtyLimit}} {
		if *v.at == 0 {
			*v.at = v.value
		}
	}
}
