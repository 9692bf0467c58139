// Package reference runs Jupyter's own server, against which ours is compared in the same run.
//
// A Server is one `jupyter lab` or `jupyter server` of the pinned versions in a sandbox of its own, serving one folder under
// a token.
//
//	s := reference.Run(t, reference.Options{Dir: dir, Lab: true})
//	response, err := http.Get(s.URL + "api/status?token=" + s.Token)
package reference

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// StartTimeout is how long a server may take until it answers.
const StartTimeout = 3 * time.Minute

// Token is what every reference server asks for.
const Token = "reference-token"

// Options say how a server is started.
type Options struct {
	Python string   // interpreter that has the packages
	Dir    string   // folder to serve; terminals start there too
	Lab    bool     // whether to serve JupyterLab, with its settings and workspaces
	Args   []string // further arguments
}

// Server is a running Jupyter server.
type Server struct {
	URL   string // where the API begins, with a slash at the end
	Token string
	Dir   string
	PID   int

	box   *sandbox.Sandbox
	cmd   *exec.Cmd
	ended chan struct{}
}

// Run starts a server for a test and ends it with the test.
func Run(tb testing.TB, o Options) *Server {
	tb.Helper()
	if o.Python == "" {
		o.Python = sandbox.Python(tb)
	}
	s, err := Start(tb.Context(), o)
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
func Start(ctx context.Context, o Options) (*Server, error) {
	box, err := sandbox.New()
	if err != nil {
		return nil, err
	}
	app := "server"
	if o.Lab {
		app = "lab"
	}
	args := append([]string{
		"-m", "jupyter", app, "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
		"--IdentityProvider.token=" + Token, "--ServerApp.root_dir=" + o.Dir,
	}, o.Args...)
	s := &Server{Token: Token, Dir: o.Dir, box: box, ended: make(chan struct{})}
	s.cmd = exec.Command(o.Python, args...)
	s.cmd.Dir = o.Dir
	// `jupyter lab` looks for its subcommand, and kernels for their interpreter, in PATH.
	s.cmd.Env = append(box.Env(), "PATH="+filepath.Dir(o.Python)+":"+os.Getenv("PATH"))
	stderr, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the reference server: %w", err), box.Close())
	}
	s.PID = s.cmd.Process.Pid
	log := &bytes.Buffer{}
	address := make(chan string, 1)
	go s.follow(stderr, log, address)
	select {
	case s.URL = <-address:
		if err = s.answers(ctx); err == nil {
			return s, nil
		}
	case <-s.ended:
		err = fmt.Errorf("the reference server ended:\n%s", log)
	case <-time.After(StartTimeout):
		err = fmt.Errorf("the reference server does not start in %v", StartTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, s.Close())
}

// answers waits for the first answer; the server prints its address before it listens.
func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"api", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the reference server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// printedAddress is how the server prints where it is, with its token left out.
var printedAddress = regexp.MustCompile(`(http://127\.0\.0\.1:\d+/\S*?)(lab|tree)?\?token=`)

// follow reads what the server logs, into log until it has printed its address, and waits for its end.
func (s *Server) follow(stderr io.Reader, log *bytes.Buffer, address chan<- string) {
	found := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if found {
			continue
		}
		fmt.Fprintln(log, lines.Text())
		if m := printedAddress.FindStringSubmatch(lines.Text()); m != nil {
			found = true
			address <- m[1]
		}
	}
	s.cmd.Wait() //nolint:errcheck // how a server that we end by a signal ends says nothing
	close(s.ended)
}

// DataDir is the server's Jupyter data folder.
func (s *Server) DataDir() string { return s.box.DataDir() }

// Close ends the server with its kernels and removes its sandbox.
func (s *Server) Close() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err == nil {
		select {
		case <-s.ended:
		case <-time.After(10 * time.Second): // the sandbox ends it
		}
	}
	return s.box.Close()
}
