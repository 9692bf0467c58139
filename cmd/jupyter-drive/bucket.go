package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

const bucketScheme = "s3://"

// defaultLocal are names that are never uploaded unless the configuration says otherwise: what editors and tools make for themselves.
func defaultLocal() []string {
	return []string{"*.swp", ".~*", ".venv", "node_modules", "__pycache__"}
}

func (d driveConfig) isBucket() bool { return strings.HasPrefix(d.URL, bucketScheme) }

// bucket returns the bucket and the prefix that the URL names.
func (d driveConfig) bucket() (bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(d.URL, bucketScheme), "/")
	return bucket, strings.Trim(prefix, "/")
}

// checkURL returns what is wrong with the URL and the keys that go with it, and in which of them; "" is in no one of them.
func (d driveConfig) checkURL() (key string, err error) {
	if !d.isBucket() {
		if d.bucketConfig != (bucketConfig{}) {
			return "", errors.New("region, endpoint, path_style, profile, anonymous, requester_pays, close, no_trash and local are for s3:// only")
		}
		_, err := d.folder()
		return "", err
	}
	if err := d.checkBucketURL(); err != nil {
		return "url", err
	}
	if u, err := url.Parse(d.Endpoint); d.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return "endpoint", fmt.Errorf("endpoint = %q is not a URL such as \"https://minio.example.org\"", d.Endpoint)
	}
	if !slices.Contains([]string{"", drive.CloseLocal, drive.CloseUpload}, d.Close) {
		return "close", fmt.Errorf("close = %q is neither %q nor %q", d.Close, drive.CloseLocal, drive.CloseUpload)
	}
	if d.Anonymous && d.Profile != "" {
		return "profile", errors.New("anonymous and profile exclude each other")
	}
	for _, pattern := range d.localPatterns() {
		if _, err := path.Match(pattern, ""); err != nil || strings.Contains(pattern, "/") {
			return "local", fmt.Errorf("local: %q is no pattern of names such as \"*.tmp\" or \"node_modules\": it has a [ without an end, a \\ at its end, or a slash", pattern)
		}
	}
	return "", nil
}

// checkBucketURL returns why no bucket and prefix can be what the URL says.
func (d driveConfig) checkBucketURL() error {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(d.URL, bucketScheme), "/")
	if bucket == "" {
		return fmt.Errorf("url %q names no bucket; write %sBUCKET or %[2]sBUCKET/PREFIX", d.URL, bucketScheme)
	}
	if !bucketName.MatchString(bucket) {
		return fmt.Errorf("url %q names no bucket: %q is not up to 255 of a-z A-Z 0-9 . _ - with a letter or digit at both ends; write %sBUCKET or %[3]sBUCKET/PREFIX",
			d.URL, bucket, bucketScheme)
	}
	prefix = strings.TrimRight(prefix, "/")
	for name := range strings.SplitSeq(prefix, "/") {
		if err := fs.CheckName(name); err != nil && prefix != "" {
			return fmt.Errorf("url %q: the prefix %q is no path: %w; write %s", d.URL, prefix, errors.Unwrap(err), bucketScheme+bucket+path.Clean("/"+prefix))
		}
	}
	return nil
}

// bucketName is what buckets can be called: today's rules, and those of old buckets and other stores, which have capitals and _ too.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$`)

// bucketID is the identity of a bucket drive: the configured one, else one that follows from where it is.
func (d driveConfig) bucketID() (fs.DriveID, error) {
	if d.ID != "" {
		return fs.ParseDriveID(d.ID)
	}
	bucket, prefix := d.bucket()
	sum := sha256.Sum256([]byte(d.Endpoint + "\x00" + bucket + "\x00" + prefix))
	return fs.DriveID(sum[:16]), nil
}

func (d driveConfig) localPatterns() []string {
	if d.Local == nil {
		return defaultLocal()
	}
	return *d.Local
}

// openBucket returns the store of a drive. It makes no request. capsFile is where it is kept what the store can do, "" for nowhere.
func openBucket(ctx context.Context, env environment, c driveConfig, capsFile string, log *slog.Logger) (*s3.Backend, error) {
	keys := lookedUp{log: log}
	if c.Region != "" {
		keys.load = append(keys.load, awsconfig.WithRegion(c.Region))
	}
	if c.Profile != "" {
		keys.load = append(keys.load, awsconfig.WithSharedConfigProfile(c.Profile))
	}
	conf := aws.Config{}
	if !c.Anonymous {
		var err error
		if conf, err = keys.config(ctx); err != nil {
			return nil, noCredentials(c.URL, err)
		}
		conf.Credentials = aws.NewCredentialsCache(keys)
	}
	client, err := storeClient(env)
	if err != nil {
		return nil, err
	}
	bucket, prefix := c.bucket()
	return s3.New(s3.Options{
		Config: conf, Bucket: bucket, Prefix: prefix, Endpoint: c.Endpoint, Region: c.Region, PathStyle: c.PathStyle,
		Anonymous: c.Anonymous, RequesterPays: c.RequesterPays, Caps: readCaps(capsFile), Client: client, Logger: log,
	})
}

// storeClient returns the HTTP client for stores: nil for the usual one, else one that trusts AWS_CA_BUNDLE.
func storeClient(env environment) (*http.Client, error) {
	file := env.vars["AWS_CA_BUNDLE"]
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fail(exitConfig, "AWS_CA_BUNDLE cannot be read: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fail(exitConfig, "AWS_CA_BUNDLE (%s) holds no certificate", file)
	}
	return &http.Client{Transport: s3.NewTransport(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})}, nil
}

// capsAge is how long is believed what was found out about a store.
const capsAge = 24 * time.Hour

// keptCaps is what is kept of a store's abilities.
type keptCaps struct {
	Probed time.Time
	Caps   fs.Caps
}

// readCaps returns what is known of a store, nil if nothing is, or too long.
func readCaps(file string) *fs.Caps {
	var k keptCaps
	data, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(data, &k) != nil || time.Since(k.Probed) > capsAge {
		return nil
	}
	return &k.Caps
}

func writeCaps(file string, caps fs.Caps) error {
	data, err := json.Marshal(keptCaps{time.Now(), caps})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return replaceFile(file, string(data))
}

// sizeUnits are what sizes may end in.
func sizeUnits() []sizeUnit {
	return []sizeUnit{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
	}
}

type sizeUnit struct {
	name  string
	bytes float64
}

// parseSize reads a size such as "20GB" or "512 MiB"; "" is 0.
func parseSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	for _, u := range sizeUnits() {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err == nil && n > 0 && n*u.bytes < 1<<62 {
			return int64(n * u.bytes), nil
		}
		break
	}
	return 0, errors.New(`not a size such as "20GB" or "512MiB"`)
}

// count writes a number of things for people: "1 file", "2 files".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// sizeText writes a size for people.
func sizeText(n int64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.1f TB", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
