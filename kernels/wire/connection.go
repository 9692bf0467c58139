package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// SignatureScheme is the only signature scheme that kernels use.
const SignatureScheme = "hmac-sha256"

// Connection is the content of a connection file: where a kernel listens and the key of its messages. The format is
// jupyter_client's.
type Connection struct {
	ShellPort   int    `json:"shell_port"`
	IOPubPort   int    `json:"iopub_port"`
	StdinPort   int    `json:"stdin_port"`
	ControlPort int    `json:"control_port"`
	HBPort      int    `json:"hb_port"`
	IP          string `json:"ip"` // an address, or for ipc the prefix of the sockets' paths
	Key         string `json:"key"`
	Transport   string `json:"transport"` // "tcp" or "ipc"
	Scheme      string `json:"signature_scheme"`
	KernelName  string `json:"kernel_name"`
	// JupyterSession is the document that the kernel is for; often absent.
	JupyterSession string `json:"jupyter_session,omitempty"`
}

// ParseConnection reads a connection file's content.
func ParseConnection(raw []byte) (Connection, error) {
	var c Connection
	if err := json.Unmarshal(raw, &c); err != nil {
		return Connection{}, fmt.Errorf("connection file: %w", err)
	}
	if c.Transport != "tcp" && c.Transport != "ipc" {
		return Connection{}, fmt.Errorf("connection file: transport %q is neither tcp nor ipc", c.Transport)
	}
	return c, nil
}

// Endpoint returns the ZeroMQ endpoint of a channel, empty for one that kernels do not have.
func (c Connection) Endpoint(channel Channel) string {
	switch channel {
	case Shell:
		return c.endpoint(c.ShellPort)
	case IOPub:
		return c.endpoint(c.IOPubPort)
	case Stdin:
		return c.endpoint(c.StdinPort)
	case Control:
		return c.endpoint(c.ControlPort)
	default:
		return ""
	}
}

// Heartbeat returns the ZeroMQ endpoint of the heartbeat.
func (c Connection) Heartbeat() string { return c.endpoint(c.HBPort) }

func (c Connection) endpoint(port int) string {
	if c.Transport == "ipc" {
		return "ipc://" + c.IP + "-" + strconv.Itoa(port)
	}
	return "tcp://" + c.IP + ":" + strconv.Itoa(port)
}
