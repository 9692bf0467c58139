package bucketfaults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

func TestMain(m *testing.M) {
	unix.Umask(0) // as the daemon does
	os.Exit(m.Run())
}

// count is how often something is repeated: few times, or with JUPYTER_DRIVE_TEST_FULL all.
func count(few, all int) int {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		return all
	}
	return few
}

// bucket is a part of a bucket behind a proxy, for the drives of one test.
type bucket struct {
	t      *testing.T
	server *versitygw.Server
	proxy  *faultproxy.Proxy
	prefix string
	caps   fs.Caps
}

// newBucket returns an empty part of the server's bucket.
func newBucket(t *testing.T, server *versitygw.Server, o faultproxy.Options) *bucket {
	t.Helper()
	o.Upstream, o.TLS, o.AccessKey, o.SecretKey = server.URL, server.TLS(), versitygw.AccessKey, versitygw.SecretKey
	b := &bucket{t: t, server: server, proxy: faultproxy.Run(t, o), prefix: fmt.Sprintf("%s-%x", strings.ReplaceAll(t.Name(), "/", "-"), rand.Uint32())}
	probe := b.backend()
	caps, err := probe.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	b.caps = caps
	b.proxy.Reset()
	return b
}

// backend returns the store as the daemon opens it, but for how soon and how often it tries again.
func (b *bucket) backend() *s3.Backend {
	b.t.Helper()
	o := s3.Options{
		Config: s3.Keys(versitygw.AccessKey, versitygw.SecretKey), Bucket: versitygw.Bucket, Prefix: b.prefix, Endpoint: b.proxy.URL,
		Region: versitygw.Region, PathStyle: true, PartSize: 5 << 20, MaxDelay: time.Millisecond,
		Attempts: 12, // a drive hands on what its store gives up, and no run may depend on that
	}
	o.Config.Credentials = aws.NewCredentialsCache(o.Config.Credentials)
	if b.caps != (fs.Caps{}) {
		o.Caps = &b.caps
	}
	store, err := s3.New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	return store
}

// machine is what the drives of one machine share: cache and pool.
type machine struct {
	cache *blockcache.Cache
	pool  *fetch.Pool
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	return newMachineWith(t, fetch.Options{})
}

func newMachineWith(t *testing.T, o fetch.Options) *machine {
	t.Helper()
	cache, err := blockcache.Open(t.TempDir(), blockcache.Options{Limit: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{cache: cache, pool: fetch.NewPool(o)}
	t.Cleanup(func() {
		m.pool.Close()
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// drive opens a drive. change may alter the options.
func (b *bucket) drive(m *machine, id byte, state string, change func(*drive.Options)) *drive.Drive {
	b.t.Helper()
	o := drive.Options{
		ID: fs.DriveID{id}, Backend: b.backend(), State: state, Cache: m.cache, Pool: m.pool, Actor: fmt.Sprint("machine", id), SegmentSize: 4 << 20,
	}
	if change != nil {
		change(&o)
	}
	d, err := drive.Open(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// closed closes a drive at the latest when the test ends, so that a failure is not hidden by what still runs.
type closed struct {
	once sync.Once
	d    *drive.Drive
}

func closeLater(t *testing.T, d *drive.Drive) *closed {
	c := &closed{d: d}
	t.Cleanup(func() { c.close(t) })
	return c
}

func (c *closed) close(t *testing.T) {
	t.Helper()
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.d.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}
