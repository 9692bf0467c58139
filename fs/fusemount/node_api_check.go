package fusemount

import gofuse "github.com/hanwen/go-fuse/v2/fs"

// go-fuse finds operations by these interfaces: a method that is misspelt would silently not exist.
var (
	_ gofuse.NodeAccesser       = (*node)(nil)
	_ gofuse.NodeCreater        = (*node)(nil)
	_ gofuse.NodeGetattrer      = (*node)(nil)
	_ gofuse.NodeGetxattrer     = (*node)(nil)
	_ gofuse.NodeLinker         = (*node)(nil)
	_ gofuse.NodeListxattrer    = (*node)(nil)
	_ gofuse.NodeLookuper       = (*node)(nil)
	_ gofuse.NodeMkdirer        = (*node)(nil)
	_ gofuse.NodeMknoder        = (*node)(nil)
	_ gofuse.NodeOnForgetter    = (*node)(nil)
	_ gofuse.NodeOpendirHandler = (*node)(nil)
	_ gofuse.NodeOpener         = (*node)(nil)
	_ gofuse.NodeReadlinker     = (*node)(nil)
	_ gofuse.NodeRemovexattrer  = (*node)(nil)
	_ gofuse.NodeRenamer        = (*node)(nil)
	_ gofuse.NodeRmdirer        = (*node)(nil)
	_ gofuse.NodeSetattrer      = (*node)(nil)
	_ gofuse.NodeSetxattrer     = (*node)(nil)
	_ gofuse.NodeStatfser       = (*node)(nil)
	_ gofuse.NodeStatxer        = (*node)(nil)
	_ gofuse.NodeSymlinker      = (*node)(nil)
	_ gofuse.NodeUnlinker       = (*node)(nil)

	_ gofuse.FileAllocater       = (*handle)(nil)
	_ gofuse.FileFlusher         = (*handle)(nil)
	_ gofuse.FileFsyncer         = (*handle)(nil)
	_ gofuse.FileLseeker         = (*handle)(nil)
	_ gofuse.FilePassthroughFder = (*handle)(nil)
	_ gofuse.FileReader          = (*handle)(nil)
	_ gofuse.FileReleaser        = (*handle)(nil)
	_ gofuse.FileWriter          = (*handle)(nil)

	_ gofuse.FileFsyncdirer   = (*dirHandle)(nil)
	_ gofuse.FileLookuper     = (*dirHandle)(nil)
	_ gofuse.FileReaddirenter = (*dirHandle)(nil)
	_ gofuse.FileReleasedirer = (*dirHandle)(nil)
	_ gofuse.FileSeekdirer    = (*dirHandle)(nil)
)
