package nettest

import (
	"net"
	"testing"
	"time"
)

// FreeAddr returns an address of the loopback interface that no server listens on, as "127.0.0.1:12345".
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Await returns once a server accepts connections at an address. After a minute the test ends.
func Await(t testing.TB, addr string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no server listens on %s: %v", addr, err)
		}
	}
}
