package dbtest

import (
	"bytes"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a client and a server and breaks the connection in ways that a network has. It is safe for
// concurrent use.
type Proxy struct {
	tb       testing.TB
	target   string
	listener net.Listener
	busy     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	refusing bool
	flow     chan struct{} // closed while bytes flow
	links    map[*link]struct{}
	traps    []*trap
}

// StartProxy listens on a port of 127.0.0.1 and passes everything on to target, "host:port", until the test ends.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{tb: tb, target: target, listener: l, flow: make(chan struct{}), links: map[*link]struct{}{}}
	close(p.flow)
	p.busy.Go(p.accept)
	tb.Cleanup(func() {
		p.mu.Lock()
		// First, so that a connection that is accepted meanwhile is closed by serve. Cut does not see it.
		p.closed = true
		p.mu.Unlock()
		_ = l.Close()
		p.Cut()
		p.busy.Wait()
	})
	return p
}

// Addr returns "127.0.0.1:<port>".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL returns the URL of a server with the address of the proxy in place of the server's.
func (p *Proxy) URL(server string) string {
	p.tb.Helper()
	u, err := url.Parse(server)
	if err != nil {
		p.tb.Fatal("dbtest: not a URL") // err could quote a password
	}
	u.Host = p.Addr()
	return u.String()
}

// Cut ends all present connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Refuse ends new connections at once, until Accept. Present ones go on.
func (p *Proxy) Refuse() { p.refuse(true) }

// Accept lets new connections through again.
func (p *Proxy) Accept() { p.refuse(false) }

func (p *Proxy) refuse(v bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = v
}

// Stall keeps all bytes back, of new connections too, until Resume.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flow:
		p.flow = make(chan struct{})
	default:
	}
}

// Resume lets bytes flow again, those kept back first.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flow:
	default:
		close(p.flow)
	}
}

// CutBefore cuts a connection, once, on which a client has sent bytes that contain match[0], after that
// match[1] and so on. The last message does not reach the server. The channel is closed when it has happened.
func (p *Proxy) CutBefore(match ...string) <-chan struct{} { return p.arm(&trap{match: match}) }

// CutAfter is CutBefore, except that the server receives the last message and answers it; the answer is lost. The
// channel is closed when the server has answered.
func (p *Proxy) CutAfter(match ...string) <-chan struct{} {
	return p.arm(&trap{match: match, after: true})
}

// HoldBefore is CutBefore, except that the last message only waits until release is called, and whatever follows on the
// connection with it. held is closed when it waits.
func (p *Proxy) HoldBefore(match ...string) (held <-chan struct{}, release func()) {
	t := &trap{match: match, hold: make(chan struct{})}
	return p.arm(t), sync.OnceFunc(func() { close(t.hold) })
}

func (p *Proxy) arm(t *trap) <-chan struct{} {
	t.sprung = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps = append(p.traps, t)
	return t.sprung
}

// trap waits for a sequence of messages on one connection.
type trap struct {
	match  []string
	after  bool
	hold   chan struct{} // nil unless the message is only held back until this is closed
	sprung chan struct{}
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	cut            chan struct{}
	closeOnce      func()
	progress       map[*trap]int // messages of the sequence that were seen; guarded by Proxy.mu
	tail           []byte        // the end of what the client sent before, where a match may begin; likewise
	doomed         *trap         // cuts the link when the server answers; likewise
	held           chan struct{} // what the client's side waits for; of its goroutine alone
}

// released waits until what the client sent last may go on, and reports false if the link was cut.
func (l *link) released() bool {
	if l.held == nil {
		return true
	}
	select {
	case <-l.held:
		l.held = nil
		return true
	case <-l.cut:
		return false
	}
}

func (l *link) close() { l.closeOnce() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		refused := p.refusing || p.closed
		p.mu.Unlock()
		if refused {
			_ = client.Close()
			continue
		}
		p.busy.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server, cut: make(chan struct{}), progress: map[*trap]int{}}
	l.closeOnce = sync.OnceFunc(func() {
		close(l.cut)
		_ = client.Close()
		_ = server.Close()
	})
	defer l.close()
	p.mu.Lock()
	p.links[l] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	if closed {
		// Cut may have run before the link was entered, so it did not end this one.
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		p.copy(l, server, client, func(l *link, data []byte) bool { return p.sent(l, data) && l.released() })
	})
	both.Go(func() { p.copy(l, client, server, p.answered) })
	both.Wait()
}

// copy passes bytes on as long as look allows it, and ends the link with either side of it.
func (p *Proxy) copy(l *link, dst, src net.Conn, look func(*link, []byte) bool) {
	defer l.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if !p.flowing(l) || !look(l, buf[:n]) {
				return
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// flowing waits while bytes are kept back, and reports false if the link was cut.
func (p *Proxy) flowing(l *link) bool {
	p.mu.Lock()
	flow := p.flow
	p.mu.Unlock()
	select {
	case <-flow:
		return true
	case <-l.cut:
		return false
	}
}

const longestMatch = 200

// sent looks at what a client sends, and reports false if it must not reach the server.
func (p *Proxy) sent(l *link, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := append(slices.Clone(l.tail), data...)
	l.tail = text[max(0, len(text)-longestMatch):]
	for i, t := range p.traps {
		at := l.progress[t]
		if !bytes.Contains(text, []byte(t.match[at])) {
			continue
		}
		l.tail = nil // one message is one step
		l.progress[t]++
		if at+1 < len(t.match) {
			continue
		}
		p.traps = slices.Delete(p.traps, i, i+1)
		if t.after {
			// The cut comes with the answer: then the server has carried the message out.
			l.doomed = t
			return true
		}
		close(t.sprung)
		l.held = t.hold
		return t.hold != nil
	}
	return true
}

// answered looks at what the server sends, and reports false if it must not reach the client.
func (p *Proxy) answered(l *link, _ []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.doomed == nil {
		return true
	}
	close(l.doomed.sprung)
	l.doomed = nil
	return false
}
