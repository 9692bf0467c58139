package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// lookedUp are credentials that are looked up anew each time they are asked for, as when the daemon starts: files that were mended
// meanwhile count. The SDK alone reads them once.
type lookedUp []func(*awsconfig.LoadOptions) error

var _ aws.CredentialsProvider = lookedUp(nil)

// Retrieve looks for credentials.
func (l lookedUp) Retrieve(ctx context.Context) (aws.Credentials, error) {
	conf, err := awsconfig.LoadDefaultConfig(ctx, l...)
	if err != nil {
		return aws.Credentials{}, noCredentials("", err)
	}
	found, err := conf.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, noCredentials("", err)
	}
	return found, nil
}

func noCredentials(path string, err error) error {
	return &fs.Error{Op: "configure", Path: path, Kind: fs.Credentials, Err: err,
		Hint: "see the AWS_* variables and ~/.aws/config, or set profile"}
}
