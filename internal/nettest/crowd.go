// Package nettest has addresses for servers of tests, and clients that do not behave.
package nettest

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// crowdTimeout is how long a server may take to close the connections of a crowd. It allows for a machine under load.
const crowdTimeout = 60 * time.Second

// Crowd opens n connections to srv, sends the given bytes on each, and neither sends nor reads after that. It waits
// until the server has closed all of them, and returns how long that took; a server that does not close them fails the
// test.
func Crowd(t testing.TB, srv *http.Server, n int, sent string) time.Duration {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{}, n)
	srv.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			closed <- struct{}{}
		}
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(narrow{l}) }()
	defer func() {
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve() = %v", err)
		}
	}()
	began := time.Now()
	var conns sync.WaitGroup
	done := make(chan struct{})
	// Deferred calls run in reverse order: done ends the clients, then they are waited for, then the server closes.
	defer conns.Wait()
	defer close(done)
	for range n {
		conns.Go(func() { stay(t, l.Addr().String(), sent, done) })
	}
	late := time.After(crowdTimeout)
	for i := range n {
		select {
		case <-closed:
		case <-late:
			t.Errorf("%d of %d connections are still open after %s", n-i, n, crowdTimeout)
			return 0
		}
	}
	return time.Since(began)
}

// stay holds one connection until done.
func stay(t testing.TB, addr, sent string, done <-chan struct{}) {
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Errorf("dial: %v", err)
		return
	}
	defer c.Close()
	if tcp, ok := c.(*net.TCPConn); ok {
		// The answer fills a small buffer, so that the server's writes block. The system raises 1 to its minimum.
		_ = tcp.SetReadBuffer(1)
	}
	if _, err := c.Write([]byte(sent)); err != nil {
		t.Errorf("send: %v", err)
	}
	<-done
}

// narrow is a listener whose connections keep little that was not received.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		// Otherwise the buffer takes a whole answer, and the server does not notice that the client reads none of it.
		_ = tcp.SetWriteBuffer(1)
	}
	return c, err
}
