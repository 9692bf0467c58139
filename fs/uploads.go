package fs

import (
	"context"
	"io"
	"time"
)

// Uploads is a Backend that takes contents from files, whole or in parts that survive a restart of the daemon.
//
// An upload in parts is begun, gets its parts in any order and any number at a time, and becomes a version when it is completed.
// Until then nothing of it is visible. Parts but the last have Caps.PartMin to Caps.PartMax bytes, numbers from 1 to Caps.MaxParts.
// What is unknown to the store, as an upload that was completed or aborted, is NotExist. One that is neither completed nor aborted costs money
// until [Uploads.Unfinished] finds it.
type Uploads interface {
	// Put writes o.Size bytes of src, which must stay until Put returns, as a new version in one request: o.Size is at most
	// Caps.PartMax.
	Put(ctx context.Context, key string, src io.ReaderAt, o WriteOptions) (Info, error)
	// BeginUpload begins one; the conditions are those of CompleteUpload alone.
	BeginUpload(ctx context.Context, key string, o WriteOptions) (Upload, error)
	// PutPart sends size bytes of src as part n, in place of an earlier one of that number.
	PutPart(ctx context.Context, u Upload, n int, src io.ReaderAt, size int64) (Part, error)
	// CopyPart makes part n of a range on the store's side. A version that is not the present one is Conflict.
	CopyPart(ctx context.Context, u Upload, n int, src CopyRange) (Part, error)
	// UploadedParts returns the parts that the store has, by number.
	UploadedParts(ctx context.Context, u Upload) ([]Part, error)
	// CompleteUpload makes the parts, by number, a version of u.Key. o is what BeginUpload had, the size filled in if it is known;
	// conditions and WriteID work as with Write. After Busy, or NotExist without a condition on a version, the upload is to be begun again.
	CompleteUpload(ctx context.Context, u Upload, parts []Part, o WriteOptions) (Info, error)
	// AbortUpload forgets it with its parts. It is no error if there is none.
	AbortUpload(ctx context.Context, u Upload) error
	// Unfinished returns the uploads that were begun and neither completed nor aborted, also by others.
	Unfinished(ctx context.Context) ([]Upload, error)
}

// Upload is an upload in parts. It may be kept and used after a restart.
type Upload struct {
	Key, ID string
	Begun   time.Time
}

// Part is a part of an upload. It may be kept and used after a restart.
type Part struct {
	N    int
	Size int64
	Tag  string // the store's
}

// CopyRange is a range of one version of a key.
type CopyRange struct {
	Key       string
	Version   Version
	Off, Size int64
}
