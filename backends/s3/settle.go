package s3

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// before finds the path under whose key a write to key goes, and checks a condition that the store does not keep by itself. done
// is the version that this very write has made already, if it has.
func (b *Backend) before(ctx context.Context, op, key string, c fs.Cond, writeID string, g fs.Guarantee) (target string, done fs.Info, err error) {
	target = key
	if c.IfVersion != "" {
		target = b.resolve(ctx, key)
	}
	if c == (fs.Cond{}) || g == fs.Atomic && !isSoft(c.IfVersion) {
		return target, fs.Info{}, nil
	}
	info, err := b.head(ctx, op, target, "")
	switch {
	case err != nil && fs.KindOf(err) != fs.NotExist:
		return "", fs.Info{}, err
	case err != nil && c.IfAbsent:
		return target, fs.Info{}, nil
	case err != nil:
		return "", fs.Info{}, err
	case c.IfVersion != "" && c.IfVersion == info.Version:
		return target, fs.Info{}, nil
	case writeID != "" && info.WriteID == writeID:
		info.Key = key
		return target, info, nil
	}
	return "", fs.Info{}, expect(c, &fs.Error{Op: op, Path: key, Kind: fs.Conflict})
}

// settle says what became of a write that ended with err: if the present version carries its id, it was done, and only the answer
// was lost.
func (b *Backend) settle(ctx context.Context, op, key, target string, c fs.Cond, writeID string, err error) (fs.Info, error) {
	open := !decided(err)
	err = expect(c, b.fail(op, key, err))
	kind := fs.KindOf(err)
	definite := refused(kind)
	if !definite && (!open || !ambiguous(kind)) {
		return fs.Info{}, err
	}
	if writeID == "" {
		if definite {
			return fs.Info{}, err
		}
		return fs.Info{}, unknown(op, key, err, kind)
	}
	info, headErr := b.head(ctx, op, target, "")
	switch {
	case headErr == nil && info.WriteID == writeID:
		info.Key = key
		return info, nil
	case definite, headErr == nil, fs.KindOf(headErr) == fs.NotExist:
		return fs.Info{}, err
	}
	return fs.Info{}, unknown(op, key, err, kind)
}

// refused reports whether an error of that kind says that a condition failed: at this attempt, while an earlier one may have been done.
func refused(k fs.Kind) bool {
	return k == fs.Exist || k == fs.Conflict || k == fs.NotExist || k == fs.Busy
}

// ambiguous reports whether an error of that kind leaves open what was done.
func ambiguous(k fs.Kind) bool {
	return k == fs.Unavailable || k == fs.Timeout || k == fs.Throttled
}

// unknown returns err as one that leaves open what was done. Being asked to slow down does not: nothing is done then.
func unknown(op, key string, err error, kind fs.Kind) error {
	if kind == fs.Throttled {
		return err
	}
	return &fs.Error{Op: op, Path: key, Kind: fs.UnknownOutcome, Err: err, Hint: "the same write may be tried again"}
}

// made returns what a write has made. A store that gives no ETag, or a weak one, is asked for what names the version instead.
func (b *Backend) made(ctx context.Context, op, key, target string, etag *string, size int64, stored time.Time, o fs.WriteOptions) (fs.Info, error) {
	known := knownInfo(key, aws.ToString(etag), size, stored, o)
	if !isSoft(versionOf(etag, nil, size)) {
		return known, nil
	}
	info, err := b.head(ctx, op, target, "")
	switch {
	case err != nil && fs.KindOf(err) != fs.NotExist:
		return fs.Info{}, unknown(op, key, err, fs.KindOf(err))
	case err != nil, info.WriteID != o.WriteID:
		return fs.Info{}, &fs.Error{Op: op, Path: key, Kind: fs.Conflict} // somebody else has come directly after
	}
	known.Version, known.Stored = info.Version, info.Stored
	return known, nil
}
