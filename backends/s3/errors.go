package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// codes is the table from the store's error codes to kinds. What is not here is judged by the HTTP status.
var codes = map[string]fs.Kind{
	"NoSuchKey": fs.NotExist, "NotFound": fs.NotExist, "NoSuchUpload": fs.NotExist, "NoSuchVersion": fs.NotExist,
	"NoSuchBucket":       fs.Unavailable, // or every file would seem removed
	"PreconditionFailed": fs.Conflict, "ConditionalRequestConflict": fs.Busy, "OperationAborted": fs.Busy,
	"AccessDenied": fs.Permission, "AllAccessDisabled": fs.Permission, "AccountProblem": fs.Permission,
	"InvalidAccessKeyId": fs.Credentials, "SignatureDoesNotMatch": fs.Credentials, "InvalidToken": fs.Credentials,
	"ExpiredToken": fs.Credentials, "ExpiredTokenException": fs.Credentials, "TokenRefreshRequired": fs.Credentials,
	"RequestTimeTooSkewed": fs.Credentials, "InvalidSecurity": fs.Credentials, "XAdminUserNotFound": fs.Credentials, "NotSignedUp": fs.Credentials,
	"SlowDown": fs.Throttled, "ServiceUnavailable": fs.Throttled, "TooManyRequests": fs.Throttled, "RequestLimitExceeded": fs.Throttled,
	"Throttling": fs.Throttled, "ThrottlingException": fs.Throttled, "BandwidthLimitExceeded": fs.Throttled,
	"RequestTimeout": fs.Timeout, "InternalError": fs.Unavailable, "Busy": fs.Throttled,
	"EntityTooLarge": fs.TooLarge, "MetadataTooLarge": fs.TooLarge, "MaxMessageLengthExceeded": fs.TooLarge,
	"KeyTooLongError": fs.NameTooLong, "KeyTooLong": fs.NameTooLong, "InvalidURI": fs.Name, "InvalidObjectName": fs.Name,
	"InvalidRange": fs.Range, "QuotaExceeded": fs.Quota, "XMinioStorageFull": fs.NoSpace, "InsufficientCapacity": fs.NoSpace,
	"BadDigest": fs.Checksum, "InvalidDigest": fs.Checksum, "XAmzContentSHA256Mismatch": fs.Checksum, "XAmzContentChecksumMismatch": fs.Checksum,
	"EntityTooSmall": fs.Invalid, "InvalidPart": fs.Invalid, "InvalidPartOrder": fs.Invalid, "InvalidArgument": fs.Invalid,
	"NotImplemented": fs.Unsupported, "MethodNotAllowed": fs.Unsupported, "InvalidObjectState": fs.Unsupported,
	"ObjectParentIsFile": fs.NotDir, "ExistingObjectIsDirectory": fs.IsDir, "DirectoryNotEmpty": fs.NotEmpty, "ErrDirectoryNotEmpty": fs.NotEmpty,
	"PermanentRedirect": fs.Invalid, "AuthorizationHeaderMalformed": fs.Invalid, "IllegalLocationConstraintException": fs.Invalid,
}

// ErrNoBucket is in errors of a bucket that does not exist. Their kind is [fs.Unavailable]: a drive of it waits, and forgets nothing.
var ErrNoBucket = errors.New("no such bucket")

// statuses is the table for answers without a known code, as to HEAD.
var statuses = map[int]fs.Kind{
	http.StatusMovedPermanently: fs.Invalid, http.StatusTemporaryRedirect: fs.Unavailable,
	http.StatusBadRequest: fs.Invalid, http.StatusUnauthorized: fs.Credentials, http.StatusForbidden: fs.Permission,
	http.StatusNotFound: fs.NotExist, http.StatusMethodNotAllowed: fs.Unsupported, http.StatusConflict: fs.Busy,
	http.StatusPreconditionFailed: fs.Conflict, http.StatusRequestedRangeNotSatisfiable: fs.Range,
	http.StatusRequestEntityTooLarge: fs.TooLarge, http.StatusTooManyRequests: fs.Throttled,
	http.StatusInternalServerError: fs.Unavailable, http.StatusNotImplemented: fs.Unsupported, http.StatusBadGateway: fs.Unavailable,
	http.StatusServiceUnavailable: fs.Throttled, http.StatusGatewayTimeout: fs.Timeout, http.StatusInsufficientStorage: fs.NoSpace,
}

// hints say what to do about some codes.
var hints = map[string]string{
	"NoSuchBucket":                 "check the bucket's name, or create it",
	"InvalidAccessKeyId":           "check the access key of the profile or environment",
	"SignatureDoesNotMatch":        "check the secret key, and that nothing on the way changes the Host header",
	"ExpiredToken":                 "sign in again with the tool that made the credentials",
	"RequestTimeTooSkewed":         "set this machine's clock",
	"InvalidObjectState":           "the object is archived: restore it in the store first",
	"AccessDenied":                 "docs/drives.md lists the rights that a drive needs",
	"PermanentRedirect":            "set the region in which the bucket is",
	"AuthorizationHeaderMalformed": "set the region in which the bucket is",
}

// fail returns err as an *fs.Error of the operation on the path.
func (b *Backend) fail(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*fs.Error](err); ours {
		return fs.Wrap(op, path, err)
	}
	e := &fs.Error{Op: op, Path: path, Err: err, Kind: kindOf(err)}
	if said, ok := plain(err); ok {
		e.Err = &storeError{message: said, cause: err}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && !isStatus(api, err) {
		e.Err = &storeError{code: api.ErrorCode(), message: api.ErrorMessage(), cause: err}
		e.Hint = hints[api.ErrorCode()]
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		e.RetryAfter = retryAfter(response.Response.Header)
		if region := response.Response.Header.Get("X-Amz-Bucket-Region"); region != "" && e.Kind == fs.Invalid {
			e.Hint = `the bucket is in the region "` + region + `"`
		}
	}
	return e
}

// kindOf returns the kind of an error of the SDK.
func kindOf(err error) fs.Kind {
	switch {
	case errors.Is(err, context.Canceled):
		return fs.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return fs.Timeout
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if kind, ok := codes[api.ErrorCode()]; ok {
			return kind
		}
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		if kind, ok := statuses[response.HTTPStatusCode()]; ok {
			return kind
		}
		if response.HTTPStatusCode() >= http.StatusInternalServerError {
			return fs.Unavailable
		}
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fs.Timeout
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return fs.Unavailable
	}
	if kind := fs.KindOf(err); kind != fs.Internal {
		return kind
	}
	return fs.Unavailable // what else the SDK says is about answers that it cannot read
}

// isStatus reports whether the SDK has made an error of nothing but a status.
func isStatus(api smithy.APIError, err error) bool {
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && response.Response != nil && api.ErrorMessage() == http.StatusText(response.HTTPStatusCode())
}

// plain returns in plain words why there was no answer, or an answer that says nothing, if that is what err is about.
func plain(err error) (said string, ok bool) {
	host := "the store"
	if u, ok := errors.AsType[*url.Error](err); ok {
		if at, err := url.Parse(u.URL); err == nil && at.Host != "" {
			host = at.Host
		}
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("the name %s is not known", name.Name), true
	}
	for no, said := range map[syscall.Errno]string{
		syscall.ECONNREFUSED: "refuses connections", syscall.ECONNRESET: "has broken the connection", syscall.EPIPE: "has broken the connection",
		syscall.EHOSTUNREACH: "cannot be reached: there is no way to it", syscall.ENETUNREACH: "cannot be reached: there is no network",
	} {
		if errors.Is(err, no) {
			return host + " " + said, true
		}
	}
	if wrong, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Sprintf("the certificate of %s is not accepted: %v", host, wrong.Err), true
	}
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return host + " does not answer", true
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return host + " has broken the connection", true
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return host + ": " + u.Err.Error(), true
	}
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && response.Response != nil {
		code := response.HTTPStatusCode()
		return fmt.Sprintf("the store answers %d %s", code, http.StatusText(code)), true
	}
	return "", false
}

// decided reports whether the store itself refused the last attempt, so that it was not done.
func decided(err error) bool {
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && response.Response != nil && response.HTTPStatusCode() >= 400 && response.HTTPStatusCode() < 500
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}

// storeError is what the store said, without the SDK's account of how it asked.
type storeError struct {
	code, message string
	cause         error
}

// Error returns message and code.
func (e *storeError) Error() string {
	switch {
	case e.message == "":
		return e.code
	case e.code == "":
		return e.message
	}
	return e.message + " (" + e.code + ")"
}

// Is reports whether target is the named error for what the store said.
func (e *storeError) Is(target error) bool { return target == ErrNoBucket && e.code == "NoSuchBucket" }

// Unwrap returns the SDK's error.
func (e *storeError) Unwrap() error { return e.cause }

// expect returns err with the kind that a failed condition has.
func expect(c fs.Cond, err error) error {
	var e *fs.Error
	if c.IfAbsent && errors.As(err, &e) && e.Kind == fs.Conflict {
		exists := *e
		exists.Kind = fs.Exist
		return &exists
	}
	return err
}
