package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// idFile holds the drive's UUID as JSON.
const idFile = "drive.json"

type idRecord struct {
	Version int    `json:"version"`
	Text    string `json:"id"`
}

// ReadID returns the UUID that the folder root has as a drive, and whether it has one. It changes nothing.
func ReadID(root string) (fs.DriveID, bool, error) {
	fd, err := openRoot(root)
	if err != nil {
		return fs.DriveID{}, false, err
	}
	defer closeFd(fd)
	id, ok, err := readID(fd)
	return id, ok, fs.Wrap("read drive id", root, err)
}

func readID(root int) (fs.DriveID, bool, error) {
	fd, err := openAt(root, fs.ReservedName+"/"+idFile, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		return fs.DriveID{}, false, nil
	}
	if err != nil {
		return fs.DriveID{}, false, err
	}
	f := os.NewFile(uintptr(fd), idFile)
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return fs.DriveID{}, false, err
	}
	id, err := parseID(b)
	return id, err == nil, err
}

func parseID(b []byte) (fs.DriveID, error) {
	var r idRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return fs.DriveID{}, &fs.Error{Op: "read drive id", Path: idFile, Kind: fs.Invalid, Err: err,
			Hint: "the file is damaged; remove it to give the drive a new identity"}
	}
	if r.Version != 1 {
		return fs.DriveID{}, &fs.Error{Op: "read drive id", Path: idFile, Kind: fs.Unsupported,
			Err: fmt.Errorf("unknown version %d", r.Version), Hint: "use the release that wrote it"}
	}
	id, err := fs.ParseDriveID(r.Text)
	if err == nil && id == (fs.DriveID{}) {
		err = &fs.Error{Op: "read drive id", Path: idFile, Kind: fs.Invalid}
	}
	return id, err
}

// settleID returns the drive's UUID and writes it into the folder if it is not there and may be.
func (d *Drive) settleID() (fs.DriveID, error) {
	have, ok, err := readID(d.rootFd)
	want := d.opts.ID
	switch {
	case err != nil:
		return have, fs.Wrap("open drive", d.opts.Root, err)
	case ok && want != (fs.DriveID{}) && want != have:
		return have, &fs.Error{Op: "open drive", Path: d.opts.Root, Kind: fs.Conflict,
			Err: fmt.Errorf("the folder is drive %s, the configuration says %s", have, want),
			Hint: "another folder was put in its place, or it is a copy: correct the path or the id in the configuration; for a copy remove " +
				fs.ReservedName + "/" + idFile + " in it"}
	case ok:
		return have, nil
	case want == fs.DriveID{}:
		want = fs.NewDriveID()
	}
	if d.opts.ReadOnly {
		return want, nil
	}
	b, err := json.Marshal(idRecord{Version: 1, Text: want.String()})
	if err != nil {
		return want, fs.Wrap("open drive", d.opts.Root, err)
	}
	err = d.writeReserved(idFile, append(b, '\n'))
	switch fs.KindOf(err) {
	case fs.Permission, fs.NotPermitted, fs.ReadOnly:
		if err != nil {
			d.log.Info("the drive's id is kept in the configuration only", "drive", d.opts.Root, "err", err)
		}
		return want, nil
	}
	return want, err
}
