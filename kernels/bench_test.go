package kernels_test

import (
	"testing"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// BenchmarkRoundTrip measures one kernel_info request through the hub and the kernel's process.
func BenchmarkRoundTrip(b *testing.B) {
	m := newManager(b, healthy())
	c := attach(b, startReady(b, m, "fake"), "s")
	for b.Loop() {
		c.finish(c.send(wire.Shell, "kernel_info_request", struct{}{}))
	}
}

// BenchmarkStart measures a kernel from the request to start it to its first answer, and its end.
func BenchmarkStart(b *testing.B) {
	m := newManager(b, healthy())
	for b.Loop() {
		if err := m.Shutdown(b.Context(), startReady(b, m, "fake").ID()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessages measures one published message of 200 bytes on its way to one client.
func BenchmarkMessages(b *testing.B) {
	m := newManager(b, healthy())
	c := attach(b, startReady(b, m, "fake"), "s")
	const batch = 1000
	for left := b.N; left > 0; left -= batch {
		c.execute("spam 1000 200")
		for seen := 0; seen < batch; {
			got, err := c.Recv(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if len(got.Content) > 200 {
				seen++
			}
		}
	}
}
