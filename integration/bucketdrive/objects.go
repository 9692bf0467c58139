package bucketdrive

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// Keys returns the keys of all objects that are files of the drive, without the prefix: no directory markers, and nothing that the drive
// keeps for itself.
func (d *Drive) Keys(t *testing.T) []string {
	t.Helper()
	var keys []string
	for after, more := "", true; more; {
		query := url.Values{"list-type": {"2"}, "prefix": {Prefix + "/"}, "start-after": {after}}
		text, err := d.get(t.Context(), "/"+versitygw.Bucket+"?"+query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			IsTruncated bool
			Contents    []struct{ Key string }
		}
		if err := xml.Unmarshal(text, &page); err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			after = o.Key
			key := strings.TrimPrefix(o.Key, Prefix+"/")
			if key != "" && !strings.HasSuffix(key, "/") && !strings.HasPrefix(key, ".jupyter-drive/") {
				keys = append(keys, key)
			}
		}
		more = page.IsTruncated && len(page.Contents) > 0
	}
	return keys
}

// Object reads a file of the drive from the bucket, past the daemon.
func (d *Drive) Object(ctx context.Context, name string) ([]byte, error) {
	u := url.URL{Path: "/" + versitygw.Bucket + "/" + Prefix + "/" + name}
	return d.get(ctx, u.EscapedPath())
}

// Put makes a file of the drive in the bucket, past the daemon.
func (d *Drive) Put(ctx context.Context, name string, body io.Reader, size int64) error {
	u := url.URL{Path: "/" + versitygw.Bucket + "/" + Prefix + "/" + name}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, d.Server.URL+u.EscapedPath(), body)
	if err != nil {
		return err
	}
	r.ContentLength = size
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	response, err := d.client.Do(r)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("PUT %s = %d", name, response.StatusCode)
	}
	return errors.Join(err, response.Body.Close())
}

func (d *Drive) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Server.URL+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := d.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s = %d %.200s", path, response.StatusCode, text)
	}
	return text, err
}
