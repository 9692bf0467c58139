package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// sdk is the store's own client, with which a program does what it needs and nothing else.
type sdk struct{ client *s3.Client }

// How it reads the big object.
const (
	sdkStreams = 8
	sdkPart    = 8 << 20
)

func newSDK(endpoint string) *sdk {
	return &sdk{s3.New(s3.Options{
		BaseEndpoint: &endpoint, Region: versitygw.Region, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: versitygw.AccessKey, SecretAccessKey: versitygw.SecretKey}, nil
		}),
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: sdkStreams, DisableCompression: true}},
	})}
}

func (c *sdk) listMany(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(c.client, &s3.ListObjectsV2Input{
		Bucket: aws.String(versitygw.Bucket), Prefix: aws.String("many/"), Delimiter: aws.String("/"),
	})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		n += len(page.Contents)
	}
	if n != manyObjects {
		return fmt.Errorf("%d entries", n)
	}
	return nil
}

func (c *sdk) statMissing(ctx context.Context) error {
	for i := range missingNames {
		_, err := c.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(versitygw.Bucket), Key: aws.String(fmt.Sprintf("many/missing-%d", i))})
		if err == nil {
			return errors.New("a missing object is there")
		}
	}
	return nil
}

func (c *sdk) readRandom(ctx context.Context, size int) error {
	for _, off := range randomPlaces(size) {
		if err := c.read(ctx, "big.bin", off, int64(size)); err != nil {
			return err
		}
	}
	return nil
}

func (c *sdk) readBig(ctx context.Context) error {
	errs := make([]error, sdkStreams)
	var streams sync.WaitGroup
	for i := range errs {
		streams.Go(func() {
			for off := int64(i) * sdkPart; off < bigObject && errs[i] == nil; off += sdkStreams * sdkPart {
				errs[i] = c.read(ctx, "big.bin", off, sdkPart)
			}
		})
	}
	streams.Wait()
	return errors.Join(errs...)
}

func (c *sdk) readNotebook(ctx context.Context) error {
	return c.read(ctx, "notebook.ipynb", 0, notebook)
}

func (c *sdk) read(ctx context.Context, key string, off, n int64) error {
	out, err := c.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(versitygw.Bucket), Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
	})
	if err != nil {
		return err
	}
	got, err := io.Copy(io.Discard, out.Body)
	if err == nil && got != n {
		err = fmt.Errorf("%s: %d bytes of %d", key, got, n)
	}
	return errors.Join(err, out.Body.Close())
}

func (c *sdk) createFiles(ctx context.Context) error {
	for i := range newFiles {
		if err := c.put(ctx, "plain/"+strconv.Itoa(i), 4<<10); err != nil {
			return err
		}
	}
	return nil
}

func (c *sdk) saveEach(ctx context.Context) error {
	for range saves {
		if err := c.put(ctx, "plain.ipynb", saveSize); err != nil {
			return err
		}
	}
	return nil
}

func (c *sdk) put(ctx context.Context, key string, size int) error {
	_, err := c.client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(versitygw.Bucket), Key: &key, Body: bytes.NewReader(make([]byte, size))})
	return err
}
