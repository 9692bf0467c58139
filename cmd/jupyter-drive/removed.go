package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// A bucket that was removed before all was uploaded leaves its table beside its journal. Adding the same bucket again finds it there, and
// takes up the journal.

const removedFile = "removed.toml"

type removedTable struct {
	Drive driveConfig `toml:"drive"`
}

// writeRemoved leaves a removed drive's table in its state folder.
func writeRemoved(state string, d driveConfig) error {
	return replaceFile(filepath.Join(state, removedFile), appendLines("# Removed before all was uploaded.", "[drive]", d.pairs()...))
}

// readRemoved returns the table of a removed drive, if the state folder is of one.
func readRemoved(state string) (driveConfig, bool) {
	var t removedTable
	_, err := toml.DecodeFile(filepath.Join(state, removedFile), &t)
	return t.Drive, err == nil && t.Drive.isBucket()
}

// findRemoved returns the identity of a removed drive of the same bucket whose journal is still there.
func (e environment) findRemoved(d driveConfig) (id fs.DriveID, found bool) {
	entries, err := os.ReadDir(filepath.Join(e.stateDir(), "drives"))
	if err != nil {
		return id, false // there has been no drive yet
	}
	for _, entry := range entries {
		id, err := fs.ParseDriveID(entry.Name())
		if err != nil {
			continue
		}
		if kept, ok := readRemoved(e.driveState(id)); ok && kept.sameBucket(d) {
			return id, true
		}
	}
	return id, false
}

// sameBucket reports whether two drives are one bucket and prefix.
func (d driveConfig) sameBucket(other driveConfig) bool {
	bucket, prefix := d.bucket()
	otherBucket, otherPrefix := other.bucket()
	return bucket == otherBucket && prefix == otherPrefix && d.sameEndpoint(other)
}

func (d driveConfig) sameEndpoint(other driveConfig) bool {
	return strings.TrimRight(d.Endpoint, "/") == strings.TrimRight(other.Endpoint, "/")
}

// addCommand is the command line that adds a bucket.
func (d driveConfig) addCommand(name string) string {
	args := []string{"jupyter-drive drive add", name, d.URL}
	for _, x := range [][2]string{{"region", d.Region}, {"endpoint", d.Endpoint}, {"profile", d.Profile}, {"close", d.Close}} {
		if x[1] != "" {
			args = append(args, "--"+x[0], x[1])
		}
	}
	for _, x := range []struct {
		flag string
		on   bool
	}{{"path-style", d.PathStyle}, {"anonymous", d.Anonymous}, {"requester-pays", d.RequesterPays}, {"no-trash", d.NoTrash}} {
		if x.on {
			args = append(args, "--"+x.flag)
		}
	}
	return strings.Join(args, " ")
}
