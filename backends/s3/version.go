package s3

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// softMark begins the version of an object for which the store gives no ETag, or a weak one: no condition of a request can name it.
const softMark = "~"

// versionOf returns the version of an object. Where the ETag does not promise that bytes are the same, it is made of time and size too.
func versionOf(etag *string, stored *time.Time, size int64) fs.Version {
	tag := aws.ToString(etag)
	if tag != "" && !strings.HasPrefix(tag, "W/") {
		return fs.Version(tag)
	}
	return fs.Version(fmt.Sprintf("%s%s@%d+%d", softMark, tag, aws.ToTime(stored).Unix(), size))
}

// isSoft reports whether no condition can name the version: it is compared with what the store says in its answer, or just before.
func isSoft(v fs.Version) bool { return strings.HasPrefix(string(v), softMark) }

// match is the condition of a request that demands a version, nil where there is none.
func match(v fs.Version) *string {
	if isSoft(v) {
		return nil
	}
	return ptr(string(v))
}
