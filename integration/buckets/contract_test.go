package buckets

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/jupyter-drive/jupyter-drive/backends/backendtest"
	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// cannot are the cases that versitygw on a folder cannot pass: its keys are paths of files.
var cannot = map[string]string{
	"names/query":                         "the server takes a part of a copied key for a version id",
	"dirs/keys that are no paths":         "the server cleans keys before it stores them",
	"dirs/file and directory of one name": "the server refuses a file and a directory of one name",
	"dirs/shadow's name is taken":         "the server refuses a file and a directory of one name",
	"versions/read and restore":           "the bucket keeps no versions",
	"versions/of a removed file":          "the bucket keeps no versions",
	"versions/drop":                       "the bucket keeps no versions",
	"versions/of longer names":            "the bucket keeps no versions",
}

func TestPlain(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	contract(t, server, server.URL, cannot)
}

func TestTLS(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{TLS: true})
	contract(t, server, server.URL, cannot)
}

// TestAllConditions has a store that also keeps the conditions on a copy's target, as AWS does.
func TestAllConditions(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	proxy := faultproxy.Run(t, faultproxy.Options{Upstream: server.URL, AccessKey: versitygw.AccessKey, SecretKey: versitygw.SecretKey})
	contract(t, server, proxy.URL, nil, "conditions", "changes", "oracle")
}

// TestVersions leaves out what is about names and directories: where the server keeps versions, what was removed still takes its name.
func TestVersions(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{Versions: true})
	contract(t, server, server.URL, map[string]string{
		"conditions/if version": "the server lets a write replace a removed version as if it were there",
	}, "read", "write", "conditions", "uploads", "versions")
}

// contract runs the suite, each case below a prefix of its own.
func contract(t *testing.T, server *versitygw.Server, endpoint string, skips map[string]string, subjects ...string) {
	client := &http.Client{Transport: s3.NewTransport(server.TLS())}
	var stores atomic.Int64
	var caps fs.Caps
	prefixes := map[fs.Backend]string{}
	open := func(t *testing.T, prefix string, known *fs.Caps) *s3.Backend {
		b, err := s3.New(s3.Options{
			Config: s3.Keys(versitygw.AccessKey, versitygw.SecretKey), Bucket: versitygw.Bucket, Prefix: prefix, Endpoint: endpoint,
			Region: versitygw.Region, PathStyle: true, Client: client, Caps: known, PartSize: 5 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	caps, err := open(t, "", nil).Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	backendtest.Run(t, backendtest.Options{
		Full: os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "", Skips: skips, Subjects: subjects,
		ChecksThenOpens: true, // versitygw evaluates If-Match with the name's attributes, then opens the file (backend/posix GetObject)
		New: func(t *testing.T) fs.Backend {
			prefix := fmt.Sprintf("case-%d/", stores.Add(1))
			b := open(t, prefix, &caps)
			prefixes[b] = prefix
			return b
		},
		Inject: func(t *testing.T, b fs.Backend, raw string, data []byte, metadata map[string]string) {
			foreign := sdk.New(sdk.Options{
				BaseEndpoint: &server.URL, UsePathStyle: true, Region: versitygw.Region, HTTPClient: client,
				Credentials: s3.Keys(versitygw.AccessKey, versitygw.SecretKey).Credentials,
			})
			_, err := foreign.PutObject(t.Context(), &sdk.PutObjectInput{
				Bucket: aws.String(versitygw.Bucket), Key: aws.String(prefixes[b] + raw), Body: bytes.NewReader(data), Metadata: metadata,
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	})
}
