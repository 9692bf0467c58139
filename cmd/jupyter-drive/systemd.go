package main

import (
	"fmt"
	"net"
)

// notifySystemd tells the service manager how it stands, if there is one (sd_notify(3)).
func notifySystemd(e environment, state string) {
	path := e.vars["NOTIFY_SOCKET"]
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:] // an abstract socket
	}
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return // a manager that does not listen need not know
	}
	defer conn.Close()
	_, _ = fmt.Fprint(conn, state) // likewise
}
