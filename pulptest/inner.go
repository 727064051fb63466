package pulptest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// innerServer serves the App on connections that do not leave the process, and has clients for it. A real server and
// not a recorder, because deadlines, aborted answers and streamed bodies work as in production.
type innerServer struct {
	server   *httptest.Server
	client   *http.Client // follows no redirects
	follower *http.Client // follows redirects
}

func newInnerServer(h http.Handler) *innerServer {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	transport := &http.Transport{DialContext: l.dial}
	s := &innerServer{
		server:   &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}, //nolint:gosec // the App has limits
		client:   &http.Client{Transport: transport},
		follower: &http.Client{Transport: transport},
	}
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.server.Start()
	return s
}

// close waits for the requests that are being answered.
func (s *innerServer) close() {
	s.client.CloseIdleConnections()
	s.server.Close()
}

// pipeListener is a listener whose connections are made by dial.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- pipeConn{server}:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept implements [net.Listener].
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *pipeListener) Addr() net.Addr { return loopback() }

// pipeConn is the server's end of a connection.
type pipeConn struct{ net.Conn }

// RemoteAddr returns an address of this machine, because the App reads the client's address from it.
func (pipeConn) RemoteAddr() net.Addr { return loopback() }

func loopback() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
