package fusemount

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// host is what mounting needs of the machine.
type host struct {
	device string                       // /dev/fuse
	conf   string                       // /etc/fuse.conf
	root   bool                         // mount(2) is ours to call
	find   func(string) (string, error) // exec.LookPath
}

func thisHost() host {
	return host{device: "/dev/fuse", conf: "/etc/fuse.conf", root: os.Geteuid() == 0, find: exec.LookPath}
}

// check returns nil if a mount can be made, else an error that says what to do.
func (h host) check(allowOther bool) error {
	if err := h.checkDevice(); err != nil {
		return err
	}
	if h.root {
		return nil
	}
	if _, err := h.fusermount(); err != nil {
		return err
	}
	if allowOther && !h.userAllowOther() {
		return unavailable("allow_other is not permitted for ordinary users here",
			"add the line user_allow_other to "+h.conf+", or mount as root")
	}
	return nil
}

func (h host) checkDevice() error {
	const noMount = "Or go on without a mount: jupyter-drive up --no-mount"
	fd, err := unix.Open(h.device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return unix.Close(fd)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return unavailable("FUSE is not available: "+h.device+" may not be opened by this user",
			"Allow it: sudo chmod 666 "+h.device+". In a container: --device /dev/fuse --cap-add SYS_ADMIN. "+noMount)
	}
	return unavailable("FUSE is not available: "+h.device+" is missing",
		"Load it: sudo modprobe fuse. In a container: --device /dev/fuse --cap-add SYS_ADMIN. "+noMount)
}

// fusermount returns the program that mounts for ordinary users.
func (h host) fusermount() (string, error) {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if p, err := h.find(name); err == nil {
			return p, nil
		}
	}
	return "", unavailable("fusermount3 is missing, which mounts for ordinary users",
		"Debian, Ubuntu: sudo apt install fuse3. Fedora: sudo dnf install fuse3. Arch: sudo pacman -S fuse3")
}

func (h host) userAllowOther() bool {
	conf, err := os.ReadFile(h.conf)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(conf) {
		if string(bytes.TrimSpace(line)) == "user_allow_other" {
			return true
		}
	}
	return false
}

func unavailable(what, hint string) error {
	return &fs.Error{Op: "mount", Kind: fs.Unavailable, Err: errors.New(what), Hint: hint}
}

// prepare makes sure that the mount point is a directory that may be mounted over.
func prepare(mountpoint string, nonEmpty bool) error {
	if err := os.MkdirAll(mountpoint, 0o755); err != nil {
		return fs.Wrap("mount", mountpoint, err)
	}
	if nonEmpty {
		return nil
	}
	d, err := os.Open(mountpoint)
	if err != nil {
		return fs.Wrap("mount", mountpoint, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return fs.Wrap("mount", mountpoint, err)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	list := strings.Join(names[:min(3, len(names))], ", ")
	if len(names) > 3 {
		list += ", …"
	}
	return &fs.Error{Op: "mount", Path: mountpoint, Kind: fs.NotEmpty,
		Err:  fmt.Errorf("the mount point is not empty: it has %s", list),
		Hint: "choose an empty directory, or move what is in it elsewhere"}
}

// State is what is at a mount point.
type State uint8

// The states of a mount point.
const (
	Free    State = iota // nothing is mounted there
	Live                 // a mount of ours that answers
	Dead                 // a mount of ours whose daemon is gone
	Foreign              // something else is mounted there
)

// Check returns what is mounted at a directory.
func Check(mountpoint string) (State, error) {
	mp, err := mountAt(mountpoint)
	switch {
	case err != nil:
		return Free, err
	case mp == nil:
		return Free, nil
	case mp.fstype != FSType:
		return Foreign, nil
	case answers(mountpoint):
		return Live, nil
	}
	return Dead, nil
}

// statfsWait is how long a mount may take to answer before it counts as alive but busy.
const statfsWait = 2 * time.Second

// answers reports whether the daemon of a mount is there. One that does not answer in time is.
func answers(mountpoint string) bool {
	got := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		got <- unix.Statfs(mountpoint, &st)
	}()
	select {
	case err := <-got:
		return !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED)
	case <-time.After(statfsWait):
		return true
	}
}

// Detach takes away a mount of ours whose daemon is gone, also while programs still stand in it. It returns nil if there is none,
// and touches nothing else: for anything that is mounted there and alive, or not ours, it fails with Busy.
func Detach(ctx context.Context, mountpoint string) error {
	state, err := Check(mountpoint)
	switch {
	case err != nil:
		return err
	case state == Free:
		return nil
	case state == Dead:
		return fs.Wrap("detach", mountpoint, thisHost().detach(ctx, mountpoint))
	case state == Live:
		return &fs.Error{Op: "mount", Path: mountpoint, Kind: fs.Busy, Err: errors.New("a running jupyter-drive is mounted there"),
			Hint: "end it with: jupyter-drive down"}
	}
	return &fs.Error{Op: "mount", Path: mountpoint, Kind: fs.Busy, Err: errors.New("something else is mounted there"),
		Hint: "choose another mount point"}
}

// detach takes a mount away from the tree at once; those who stand in it keep it until they leave.
func (h host) detach(ctx context.Context, mountpoint string) error {
	if h.root {
		return unix.Unmount(mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	return h.runFusermount(ctx, "-uz", mountpoint)
}

// unmount takes away a mount that nobody uses; else it fails with Busy.
func (h host) unmount(ctx context.Context, mountpoint string) error {
	if h.root {
		return unix.Unmount(mountpoint, unix.UMOUNT_NOFOLLOW)
	}
	return h.runFusermount(ctx, "-u", mountpoint)
}

func (h host) runFusermount(ctx context.Context, flag, mountpoint string) error {
	bin, err := h.fusermount()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, bin, flag, "--", mountpoint).CombinedOutput()
	if err != nil {
		return &fs.Error{Op: "unmount", Path: mountpoint, Kind: fs.Busy, Err: fmt.Errorf("%s: %w", bytes.TrimSpace(out), err)}
	}
	return nil
}

// mountPoint is a line of the kernel's table of mounts.
type mountPoint struct {
	device uint64 // as st_dev has it
	path   string
	fstype string
}

// mountAt returns the topmost mount at a path, nil if there is none.
func mountAt(mountpoint string) (*mountPoint, error) {
	abs, err := filepath.Abs(mountpoint)
	if err != nil {
		return nil, fs.Wrap("mount", mountpoint, err)
	}
	// The last component may be dead: only its parent can be resolved.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(parent, filepath.Base(abs))
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fs.Wrap("mount", mountpoint, err)
	}
	defer f.Close()
	var at *mountPoint
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if mp, ok := parseMount(lines.Text()); ok && mp.path == abs {
			at = &mp // later ones cover earlier ones
		}
	}
	return at, nil
}

// parseMount reads a line of /proc/PID/mountinfo, see proc_pid_mountinfo(5).
func parseMount(line string) (mountPoint, bool) {
	fields := strings.Fields(line)
	sep := slices.Index(fields, "-")
	if len(fields) < 5 || sep < 5 || sep+1 >= len(fields) {
		return mountPoint{}, false
	}
	major, minor, _ := strings.Cut(fields[2], ":")
	ma, err1 := strconv.ParseUint(major, 10, 32)
	mi, err2 := strconv.ParseUint(minor, 10, 32)
	if err1 != nil || err2 != nil {
		return mountPoint{}, false
	}
	return mountPoint{device: unix.Mkdev(uint32(ma), uint32(mi)), path: unescape(fields[4]), fstype: fields[sep+1]}, true
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
