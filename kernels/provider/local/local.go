// Package local launches kernels as processes of this machine.
//
// A [Provider] finds kernel specs with a kernelspec.Finder and starts each kernel under a shim of its own
// (kernels/shim), which enters the working directory, so that one in the daemon's own mount is safe. Python kernels
// listen on Unix sockets in the runtime directory, which other users cannot open, and publish without a limit on
// queued messages, so that none of their output is lost; others listen on loopback TCP ports, each given to one kernel
// at a time. The connection file, mode 0600, lies in the runtime directory: it must not be on a shared drive, for
// whoever reads it can run code as this user.
//
// A kernel's environment is Options.Env, which the caller has picked by an allow-list, what the spec and the request
// add, JPY_SESSION_NAME, and JPY_PARENT_PID with the shim's process id, by which ipykernel notices that its shim has
// gone. Processes end with the daemon.
//
//	p := local.New(local.Options{Specs: finder, Shim: []string{exe, "kernel-shim"}, RuntimeDir: dir, Env: env})
//	process, err := p.Launch(ctx, kernels.LaunchRequest{KernelID: id, Spec: spec, Dir: "/home/u"})
//	conn, err := process.Connect(ctx, wire.Shell, "client")
//	err = process.Cleanup(ctx)
//
// A Provider is safe for concurrent use and needs no closing once its kernels were cleaned up. It sets no resource
// limits, and runs every kernel as the daemon's own user.
package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
	"github.com/jupyter-drive/jupyter-drive/kernels/zmqconn"
)

// Options say how kernels are launched.
type Options struct {
	// Specs finds what can be launched.
	Specs *kernelspec.Finder
	// Shim is the command that runs shim.Main: this binary and its arguments.
	Shim []string
	// RuntimeDir holds connection files and sockets. It is made with mode 0700, belongs to this daemon alone, and its
	// path should be short: the path of a Unix socket has at most 107 bytes.
	RuntimeDir string
	// Env is the environment of every kernel, as "NAME=value".
	Env []string
	// Umask is the file mode mask of every kernel; nil is the daemon's.
	Umask *int
	// TCP makes Python kernels listen on TCP ports as well.
	TCP bool
	// Connection tunes the ZeroMQ connections.
	Connection zmqconn.Options
	// Logger reports messages that kernels signed wrongly; nil discards.
	Logger *slog.Logger
}

// Provider launches kernels on this machine.
type Provider struct {
	opts  Options
	log   *slog.Logger
	ports reservations
	// prepare makes the runtime directory, once.
	prepare func() error
}

var _ kernels.Provider = (*Provider)(nil)

// New returns a Provider; it touches nothing before the first Launch.
func New(opts Options) *Provider {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Provider{opts: opts, log: log}
	p.prepare = sync.OnceValue(p.makeRuntimeDir)
	return p
}

// FindKernels lists the kernel specs.
func (p *Provider) FindKernels(ctx context.Context) ([]kernelspec.Spec, error) {
	return p.opts.Specs.List(ctx)
}

// Launch starts a kernel process. Every launch has new sockets and a new key, so that nothing meant for one process
// can reach the next.
func (p *Provider) Launch(ctx context.Context, req kernels.LaunchRequest) (kernels.Provisioned, error) {
	if err := p.prepare(); err != nil {
		return nil, err
	}
	k, err := p.provision(req)
	if err != nil {
		return nil, err
	}
	argv := req.Spec.Command(kernelspec.Values{ConnectionFile: k.file, Prefix: prefixOf(req.Spec)})
	if launcher := launcherAt(argv); launcher >= 0 {
		argv = slices.Concat(argv[:launcher], []string{"-c", unlimitedPublishing}, argv[launcher+2:])
	}
	process, err := shim.Start(ctx, p.opts.Shim, shim.Request{
		Argv: argv, Env: p.environ(req), Dir: req.Dir, Umask: p.opts.Umask, ExitFile: k.exitFile(),
	}, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("launch %s: %w", req.Spec.Name, err), k.removeFiles())
	}
	k.process = process
	return k, nil
}

// makeRuntimeDir makes the runtime directory and removes what a daemon that was killed has left there.
func (p *Provider) makeRuntimeDir() error {
	if err := os.MkdirAll(p.opts.RuntimeDir, 0o700); err != nil {
		return fmt.Errorf("kernel runtime directory: %w", err)
	}
	for _, pattern := range []string{"kernel-*.json", "k????????????-[1-5]"} {
		left, err := filepath.Glob(filepath.Join(p.opts.RuntimeDir, pattern))
		if err != nil {
			return fmt.Errorf("kernel runtime directory: %w", err)
		}
		for _, file := range left {
			if err := os.Remove(file); err != nil {
				return fmt.Errorf("kernel runtime directory: %w", err)
			}
		}
	}
	return nil
}

// maxSocketPath is how long the path of a Unix socket may be on Linux, without its final zero.
const maxSocketPath = 107

// provision chooses sockets and a key and writes the connection file.
func (p *Provider) provision(req kernels.LaunchRequest) (*kernel, error) {
	var secret [38]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("kernel key: %w", err)
	}
	c := wire.Connection{
		Key: hex.EncodeToString(secret[:32]), Scheme: wire.SignatureScheme,
		KernelName: req.Spec.Name, JupyterSession: req.SessionName,
		Transport: "ipc", IP: filepath.Join(p.opts.RuntimeDir, "k"+hex.EncodeToString(secret[32:])),
		ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5,
	}
	k := &kernel{provider: p, file: filepath.Join(p.opts.RuntimeDir, "kernel-"+req.KernelID+".json")}
	if p.opts.TCP || launcherAt(req.Spec.Argv) < 0 || len(c.IP)+len("-1") > maxSocketPath {
		ports, err := p.ports.reserve(5)
		if err != nil {
			return nil, err
		}
		k.ports = ports
		c.Transport, c.IP = "tcp", "127.0.0.1"
		c.ShellPort, c.IOPubPort, c.StdinPort, c.ControlPort, c.HBPort = ports[0], ports[1], ports[2], ports[3], ports[4]
	}
	k.connection = c
	k.session = wire.NewSession([]byte(c.Key), "")
	raw, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		err = writePrivate(k.file, raw)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connection file: %w", err), k.removeFiles())
	}
	return k, nil
}

// writePrivate replaces a file by one that only this user reads.
func writePrivate(path string, raw []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Close())
}

// environ returns the environment of a kernel; what comes later in the list of sources wins.
func (p *Provider) environ(req kernels.LaunchRequest) []string {
	env := map[string]string{}
	for _, e := range p.opts.Env {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	spec := req.Spec.Environ(func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1" // or debugpy writes a warning at each start of ipykernel
	maps.Copy(env, spec)
	maps.Copy(env, req.Env)
	env["JPY_PARENT_PID"] = "{shim_pid}"
	if req.SessionName != "" {
		env["JPY_SESSION_NAME"] = req.SessionName
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// prefixOf returns the installation that a spec in PREFIX/share/jupyter/kernels/NAME belongs to.
func prefixOf(spec kernelspec.Spec) string {
	prefix, ok := strings.CutSuffix(filepath.Dir(spec.Dir), "/share/jupyter/kernels")
	if !ok {
		return "/usr"
	}
	return prefix
}

// launcherAt returns where argv says "-m ipykernel_launcher", or -1.
func launcherAt(argv []string) int {
	for i := range len(argv) - 1 {
		if argv[i] == "-m" && argv[i+1] == "ipykernel_launcher" {
			return i
		}
	}
	return -1
}

// unlimitedPublishing is Python that runs ipykernel with its publishing socket's limit of 1000 queued messages
// lifted. The limit counts only when it is set before the socket is bound; beyond it ZeroMQ drops output silently,
// the final idle status included. The working directory is taken from the module path first, as ipykernel_launcher
// does, so that a file of the user's cannot stand in for a module.
const unlimitedPublishing = `import sys
if sys.path and sys.path[0] == "":
    del sys.path[0]
import zmq
def _bind(self, *args, _original=zmq.Socket.bind, **kwargs):
    if self.type in (zmq.PUB, zmq.XPUB):
        self.set_hwm(0)
    return _original(self, *args, **kwargs)
zmq.Socket.bind = _bind
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
`
