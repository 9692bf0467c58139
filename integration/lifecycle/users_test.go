package lifecycle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
)

// me asks who the client is: the identity as the server tells it.
func me(t *testing.T, c client.Client) (name, identity string) {
	t.Helper()
	var answer struct {
		Identity struct {
			Username    string `json:"username"`
			Name        string `json:"name"`
			DisplayName string `json:"display_name"`
			Initials    string `json:"initials"`
			Color       string `json:"color"`
		} `json:"identity"`
	}
	if err := c.Get(t.Context(), "api/me", &answer); err != nil {
		t.Fatal(err)
	}
	i := answer.Identity
	return i.Name, strings.Join([]string{i.Username, i.Name, i.DisplayName, i.Initials, i.Color}, "|")
}

// TestUsersComeAndGo adds two users to a running daemon behind TLS and a base URL, restarts it, and removes one of them.
func TestUsersComeAndGo(t *testing.T) {
	box, drive := newBox(t), newDrive(t)
	cert, key, trusting := certificate(t)
	options := daemon.Options{Drive: drive, Root: true, Box: box, Args: []string{"--tls-cert", cert, "--tls-key", key, "--base-url", "/a%40b/"}}
	d, err := daemon.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]client.Client{}
	identities := map[string]string{}
	for _, user := range []string{"grace", "ada"} {
		link, err := url.Parse(strings.TrimSpace(runs(t, box, 0, "user", "add", user).stdout))
		if err != nil {
			t.Fatal(err)
		}
		users[user] = client.Client{URL: d.URL, Token: link.Query().Get("token"), HTTP: trusting}
		name, identity := me(t, users[user])
		if name != user {
			t.Errorf("/api/me with the token of %s = %q", user, name)
		}
		identities[user] = identity
	}
	if identities["grace"] == identities["ada"] {
		t.Errorf("two users are one: %s", identities["grace"])
	}
	runs(t, box, 11, "user", "add", "grace")
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}

	d = daemon.Run(t, options)
	for user, c := range users {
		c.URL = d.URL
		users[user] = c
		if _, identity := me(t, c); identity != identities[user] {
			t.Errorf("after a restart %s is %s, was %s", user, identity, identities[user])
		}
	}
	removed(t, d, users["grace"], users["ada"])
}

// removed takes a user away who has an open WebSocket; the other stays.
func removed(t *testing.T, d *daemon.Daemon, gone, stays client.Client) {
	t.Helper()
	socket, err := gone.WebSocket(t.Context(), "api/events/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	runs(t, d.Box, 0, "user", "remove", "grace")
	if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for {
		_, _, err := socket.ReadMessage()
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // as the connection returns it
			t.Error("the WebSocket of a user who was removed stays open")
		}
		if err != nil {
			break
		}
	}
	if answer, err := gone.Do(t.Context(), http.MethodGet, "api/contents/", nil); err != nil || answer.Status != http.StatusForbidden {
		t.Errorf("a removed user's request = %d, %v, want 403", answer.Status, err)
	}
	if name, _ := me(t, stays); name != "ada" {
		t.Errorf("the other user is %q, want ada", name)
	}
}

// certificate makes a certificate for the loopback address and a client that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, trusting *http.Client) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(crand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})) {
		t.Fatal("the certificate is not taken")
	}
	return certFile, keyFile, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}
