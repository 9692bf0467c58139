package fs

import (
	"context"
	"time"
)

type sinceKey struct{}

// WithSince returns a context whose caller is not content with what was known before at of a file that others may have changed: the
// store is asked, if it can be reached.
func WithSince(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, sinceKey{}, at)
}

// SinceOf returns the time that the context carries, or a zero one.
func SinceOf(ctx context.Context) time.Time {
	at, _ := ctx.Value(sinceKey{}).(time.Time)
	return at
}
