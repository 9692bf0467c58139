package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// lookedUp are credentials that are looked up anew each time they are asked for, as when the daemon starts: files that were mended
// meanwhile count. The SDK alone reads them once.
type lookedUp struct {
	load []func(*awsconfig.LoadOptions) error
	log  *slog.Logger // gets what the SDK says, and what it has looked for in vain
}

var _ aws.CredentialsProvider = lookedUp{}

// config returns what the SDK finds in environment and files.
func (l lookedUp) config(ctx context.Context) (aws.Config, error) {
	return awsconfig.LoadDefaultConfig(ctx, append([]func(*awsconfig.LoadOptions) error{awsconfig.WithLogger(sdkLog(l.log))}, l.load...)...)
}

// Retrieve looks for credentials.
func (l lookedUp) Retrieve(ctx context.Context) (aws.Credentials, error) {
	conf, err := l.config(ctx)
	if err != nil {
		return aws.Credentials{}, noCredentials("", err)
	}
	found, err := conf.Credentials.Retrieve(ctx)
	if err != nil {
		l.log.Debug("there are no credentials", "err", err)
		return aws.Credentials{}, noCredentials("", err)
	}
	return found, nil
}

// sdkLog has the SDK log to ours, at debug: what matters of it is in its errors.
func sdkLog(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(class logging.Classification, format string, args ...any) {
		log.Debug("the AWS SDK says", "class", class, "text", fmt.Sprintf(format, args...))
	})
}

// noCredentials is the error of credentials that cannot be had.
func noCredentials(path string, err error) error {
	if last, ok := errors.AsType[*smithy.OperationError](err); ok && last.ServiceID == "ec2imds" { // the last place of all
		err = &notFoundError{err}
	}
	return &fs.Error{Op: "configure", Path: path, Kind: fs.Credentials, Err: err,
		Hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, write them into ~/.aws/credentials, or name a profile; a public bucket needs none, but anonymous"}
}

// notFoundError is the error of credentials that are nowhere, without the account of where they were looked for.
type notFoundError struct{ cause error }

func (e *notFoundError) Error() string { return "no credentials were found" }
func (e *notFoundError) Unwrap() error { return e.cause }
