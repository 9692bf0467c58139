package fs

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Kind is the class of an error: all that a door needs to choose an errno or an HTTP status.
type Kind uint8

// The kinds of error. The numbers are not stored or sent; new kinds go where they read best.
const (
	Internal        Kind = iota // a fault of ours; logged by the door
	NotExist                    // no such name, or it is secret
	Exist                       // the name is taken
	Unauthenticated             // who are you
	Permission                  // you may not
	NotPermitted                // nobody may: the root folder, hard links on an object store
	ReadOnly                    // the drive takes no writes
	IsDir                       // a file was wanted
	NotDir                      // a directory was wanted
	NotEmpty                    // the directory has entries
	Invalid                     // the arguments make no sense
	Name                        // not a possible name
	NameTooLong                 // a name over 255 bytes, a key over the store's limit
	Conflict                    // the version moved on
	Stale                       // the node was superseded: look the name up again
	Canceled                    // the caller gave up
	TooLarge                    // over a size limit
	Quota                       // the account's space is used up
	NoSpace                     // the disk is full
	Range                       // past the end
	Unsupported                 // this drive cannot do that
	CrossDrive                  // between two drives
	Busy                        // in use just now
	Throttled                   // the store asks to slow down
	Unavailable                 // the store cannot be reached
	Timeout                     // the store did not answer in time
	Credentials                 // the store refuses the daemon's credentials
	Checksum                    // bytes arrived damaged
	UnknownOutcome              // the answer was lost, and nobody can tell whether it was done
	NoAttr                      // no such extended attribute
)

// kinds is the one table from kind to name, errno and HTTP status.
var kinds = [...]struct {
	name   string
	errno  syscall.Errno
	status int
}{
	Internal:        {"internal error", syscall.EIO, http.StatusInternalServerError},
	NotExist:        {"not found", syscall.ENOENT, http.StatusNotFound},
	Exist:           {"already exists", syscall.EEXIST, http.StatusConflict},
	Unauthenticated: {"not signed in", syscall.EACCES, http.StatusForbidden},
	Permission:      {"permission denied", syscall.EACCES, http.StatusForbidden},
	NotPermitted:    {"not permitted", syscall.EPERM, http.StatusForbidden},
	ReadOnly:        {"read-only", syscall.EROFS, http.StatusForbidden},
	IsDir:           {"is a directory", syscall.EISDIR, http.StatusBadRequest},
	NotDir:          {"is not a directory", syscall.ENOTDIR, http.StatusBadRequest},
	NotEmpty:        {"directory is not empty", syscall.ENOTEMPTY, http.StatusBadRequest},
	Invalid:         {"invalid argument", syscall.EINVAL, http.StatusBadRequest},
	Name:            {"invalid name", syscall.EINVAL, http.StatusBadRequest},
	NameTooLong:     {"name too long", syscall.ENAMETOOLONG, http.StatusBadRequest},
	Conflict:        {"changed meanwhile", syscall.ESTALE, http.StatusConflict},
	Stale:           {"superseded", syscall.ESTALE, http.StatusConflict},
	Canceled:        {"canceled", syscall.EINTR, 499},
	TooLarge:        {"too large", syscall.EFBIG, http.StatusRequestEntityTooLarge},
	Quota:           {"quota exceeded", syscall.EDQUOT, http.StatusInsufficientStorage},
	NoSpace:         {"no space left", syscall.ENOSPC, http.StatusInsufficientStorage},
	Range:           {"out of range", 0, http.StatusRequestedRangeNotSatisfiable},
	Unsupported:     {"not supported", syscall.ENOTSUP, http.StatusNotImplemented},
	CrossDrive:      {"on another drive", syscall.EXDEV, http.StatusBadRequest},
	Busy:            {"busy", syscall.EAGAIN, http.StatusServiceUnavailable},
	Throttled:       {"throttled", syscall.EIO, http.StatusServiceUnavailable},
	Unavailable:     {"unavailable", syscall.EIO, http.StatusServiceUnavailable},
	Timeout:         {"timed out", syscall.EIO, http.StatusGatewayTimeout},
	Credentials:     {"credentials refused", syscall.EACCES, http.StatusBadGateway},
	Checksum:        {"damaged data", syscall.EIO, http.StatusBadGateway},
	UnknownOutcome:  {"outcome unknown", syscall.EIO, http.StatusBadGateway},
	NoAttr:          {"no such attribute", syscall.ENODATA, http.StatusNotFound},
}

// String returns the kind in plain words.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k].name
	}
	return "unknown kind"
}

// Kinds returns every kind.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Error is the error of every package here: what was done, to what, of which kind, and why.
type Error struct {
	Op   string // the operation, e.g. "open"
	Path string // the object: a path, or what stands for one
	Kind Kind
	Err  error  // the cause; may be nil
	Hint string // what to do next; may be empty

	RetryAfter time.Duration // how long the store asks to wait; 0 = it did not say
}

// Error returns "op path: cause (hint)". A cause that begins with the same operation and path does not say them again.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Path != "" {
		b.WriteString(" " + e.Path)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Err != nil {
		b.WriteString(strings.TrimPrefix(e.Err.Error(), b.String()))
	} else {
		b.WriteString(e.Kind.String())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, os.ErrNotExist) and its like work.
func (e *Error) Is(target error) bool {
	switch target {
	case os.ErrNotExist:
		return e.Kind == NotExist
	case os.ErrExist:
		return e.Kind == Exist
	case os.ErrPermission:
		return e.Kind == Permission || e.Kind == NotPermitted || e.Kind == Unauthenticated
	case errors.ErrUnsupported:
		return e.Kind == Unsupported
	}
	return false
}

// KindOf returns the kind of err: that of the outermost [*Error] in its chain, else one read from a system error or context,
// else Internal. KindOf(nil) is Internal too; ask only about errors.
func KindOf(err error) Kind {
	var e *Error
	var no syscall.Errno
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &no):
		return KindOfErrno(no)
	case errors.Is(err, os.ErrNotExist):
		return NotExist
	case errors.Is(err, os.ErrExist):
		return Exist
	case errors.Is(err, os.ErrPermission):
		return Permission
	case errors.Is(err, errors.ErrUnsupported):
		return Unsupported
	}
	return Internal
}

// RetryAfter returns how long to wait before err's operation is tried again, 0 if nothing says so.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// errnoKinds is the way back from a system error. Errnos that are not here are Internal.
var errnoKinds = map[syscall.Errno]Kind{
	syscall.ENOENT: NotExist, syscall.EEXIST: Exist, syscall.EACCES: Permission, syscall.EPERM: NotPermitted,
	syscall.EROFS: ReadOnly, syscall.EISDIR: IsDir, syscall.ENOTDIR: NotDir, syscall.ENOTEMPTY: NotEmpty,
	syscall.EINVAL: Invalid, syscall.ELOOP: Invalid, syscall.EMLINK: Invalid, syscall.ENXIO: Invalid, syscall.ENODEV: Invalid,
	syscall.EBADF: Invalid, syscall.ERANGE: Invalid, syscall.E2BIG: Invalid, syscall.ENAMETOOLONG: NameTooLong, syscall.ESTALE: Stale,
	syscall.EINTR: Canceled, syscall.EFBIG: TooLarge, syscall.EDQUOT: Quota, syscall.ENOSPC: NoSpace,
	syscall.ENOTSUP: Unsupported, syscall.ENOSYS: Unsupported, syscall.EXDEV: CrossDrive, syscall.EBUSY: Busy,
	syscall.EAGAIN: Busy, syscall.ETXTBSY: Busy, syscall.ETIMEDOUT: Timeout, syscall.ENODATA: NoAttr,
	syscall.EOVERFLOW: TooLarge, syscall.EHOSTUNREACH: Unavailable, syscall.ECONNREFUSED: Unavailable,
	syscall.ENOTCONN: Unavailable, syscall.EMFILE: Busy, syscall.ENFILE: Busy,
}

// KindOfErrno returns the kind of a system error.
func KindOfErrno(no syscall.Errno) Kind { return errnoKinds[no] }

// Errno returns the system error for err: the cause's own errno where it is of the same kind (a local drive knows ELOOP from
// EINVAL), else the one of its kind. Errno(nil) is 0, and so is Range: a read past the end returns no bytes. What a network says,
// as ECONNREFUSED, is no answer to a call on a file.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	kind := KindOf(err)
	var no syscall.Errno
	if errors.As(err, &no) && no != 0 && errnoKinds[no] == kind && kind != Internal && kind != Unavailable && kind != Timeout {
		return no
	}
	if int(kind) >= len(kinds) {
		return syscall.EIO
	}
	return kinds[kind].errno
}

// Status returns the HTTP status for err; 200 for nil. A door that was sent a condition answers Conflict with 412 itself.
func Status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	kind := KindOf(err)
	if int(kind) >= len(kinds) {
		return http.StatusInternalServerError
	}
	return kinds[kind].status
}

// Wrap returns err as an [*Error] with that operation and path, keeping the kind; nil stays nil. An *Error that already names
// an object is returned as it is.
func Wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) && e.Path != "" {
		return err
	}
	if e != nil {
		return &Error{Op: op, Path: path, Kind: e.Kind, Err: e.Err, Hint: e.Hint, RetryAfter: e.RetryAfter}
	}
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err // op and path are ours to say
	}
	return &Error{Op: op, Path: path, Kind: KindOf(err), Err: err}
}
