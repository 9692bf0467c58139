// Package versitygw runs an S3 server on a temporary folder: versitygw, as integration/servers pins it and `make test-tools` builds
// it.
//
// A Server checks signatures, keeps the conditions of writes and of multipart uploads, and lists as S3 does. It can speak TLS with a
// certificate of a test authority, keep versions, be killed and started again on the same folder and port.
//
//	s := versitygw.Run(t, versitygw.Options{TLS: true})
//	endpoint, client := s.URL, s.Client() // bucket versitygw.Bucket, keys versitygw.AccessKey and versitygw.SecretKey
//
// Where the program is not built, tests are skipped with the command that builds it.
package versitygw

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// What every server is set up with.
const (
	Bucket    = "bucket"
	AccessKey = "test-access"
	SecretKey = "test-secret"
	Region    = "us-east-1"
)

// StartTimeout is how long a server may take until it answers.
const StartTimeout = 60 * time.Second

// Options say how a server is started.
type Options struct {
	TLS      bool
	Versions bool // the bucket keeps versions
}

// Server is a running server.
type Server struct {
	URL string // scheme, host and port
	Dir string // the bucket's objects as files

	program, root string
	args          []string
	authority     *authority // nil without TLS

	mu    sync.Mutex // guards cmd and ended; serialises starts and ends
	cmd   *exec.Cmd
	ended chan error
	log   *bytes.Buffer // of cmd; to be read when it has ended
}

// Run starts a server for a test and ends it with the test.
func Run(tb testing.TB, o Options) *Server {
	tb.Helper()
	program := filepath.Join(sandbox.Module(), ".cache", "bin", "versitygw")
	if _, err := os.Stat(program); err != nil {
		tb.Skip("versitygw is not built: make test-tools builds it")
	}
	s, err := Start(tb.Context(), program, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Start starts a server and returns when it answers. The caller closes it.
func Start(ctx context.Context, program string, o Options) (*Server, error) {
	root, err := os.MkdirTemp("", "jd-s3-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for versitygw: %w", err)
	}
	s := &Server{program: program, root: root, Dir: filepath.Join(root, "objects", Bucket)}
	if err := s.prepare(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	return s, nil
}

// prepare makes folders, bucket and certificates, and chooses a port.
func (s *Server) prepare(o Options) error {
	for _, dir := range []string{s.Dir, filepath.Join(s.root, "versions"), filepath.Join(s.root, "metadata", Bucket)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	s.URL = "http://" + address
	s.args = []string{"--quiet", "--keep-alive", "--port", address, "--region", Region, "--access", AccessKey, "--secret", SecretKey}
	if o.TLS {
		if s.authority, err = newAuthority(); err != nil {
			return err
		}
		cert, key, err := s.authority.write(s.root)
		if err != nil {
			return err
		}
		s.URL = "https://" + address
		s.args = append(s.args, "--cert", cert, "--key", key)
	}
	s.args = append(s.args, "posix")
	if o.Versions {
		s.args = append(s.args, "--versioning-dir", filepath.Join(s.root, "versions"))
		if err := syscall.Setxattr(s.Dir, "user.versioning", []byte{1}, 0); err != nil {
			return fmt.Errorf("a temporary folder without extended attributes: %w", err)
		}
	}
	s.args = append(s.args, filepath.Join(s.root, "objects"))
	return nil
}

// Restart starts the program, after Kill or for the first time, and returns when it answers.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errors.New("versitygw runs already")
	}
	s.log = new(bytes.Buffer)
	cmd := exec.Command(s.program, s.args...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting versitygw: %w", err)
	}
	s.cmd, s.ended = cmd, make(chan error, 1)
	go func(ended chan<- error) { ended <- cmd.Wait() }(s.ended)
	if err := s.answers(ctx); err != nil {
		return errors.Join(err, s.kill())
	}
	return nil
}

// answers waits until the server answers anything.
func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	client := s.Client()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/"+Bucket, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(req)
		if err == nil {
			return response.Body.Close()
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("versitygw ended: %w\n%s", err, s.log)
		case <-ctx.Done():
			return fmt.Errorf("versitygw does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Client returns a client that trusts the server.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: s.TLS(), DisableCompression: true}}
}

// TLS returns what makes a client trust the server, nil for plain HTTP.
func (s *Server) TLS() *tls.Config {
	if s.authority == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.authority.cert)
	return &tls.Config{RootCAs: pool}
}

// CAFile returns the file with the authority's certificate, "" for plain HTTP.
func (s *Server) CAFile() string {
	if s.authority == nil {
		return ""
	}
	return filepath.Join(s.root, caFile)
}

// Env returns the environment with which programs of AWS find the server's credentials.
func (s *Server) Env() []string {
	env := []string{"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey, "AWS_REGION=" + Region, "AWS_EC2_METADATA_DISABLED=true"}
	if ca := s.CAFile(); ca != "" {
		env = append(env, "AWS_CA_BUNDLE="+ca)
	}
	return env
}

// Kill ends the server at once, as a crash does. It may be started again.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kill()
}

func (s *Server) kill() error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	s.cmd = nil
	var exit *exec.ExitError
	if err := <-s.ended; err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	return errors.Join(s.Kill(), os.RemoveAll(s.root))
}
