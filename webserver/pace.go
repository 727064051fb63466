package webserver

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// pace measures how fast bytes move in one direction, and sets the deadline by which more of them have to.
type pace struct {
	step  int64         // bytes that have to move
	limit time.Duration // within this time of waiting
	set   func(deadline time.Time) error

	own   time.Time // deadline that the handler set; zero is none
	left  time.Duration
	moved int64
	began time.Time
}

func newPace(step int64, limit time.Duration, set func(time.Time) error) pace {
	return pace{step: step, limit: limit, set: set, left: limit}
}

// begin sets the deadline for the read or write that follows.
func (p *pace) begin() {
	p.began = time.Now()
	deadline := p.began.Add(p.left)
	if !p.own.IsZero() && p.own.Before(deadline) {
		deadline = p.own
	}
	// A ResponseWriter without deadlines, such as that of httptest, fails here. It has no limits then.
	_ = p.set(deadline)
}

// end notes that n bytes have moved since begin, and lifts the deadline.
func (p *pace) end(n int64) {
	p.left -= time.Since(p.began)
	// Only a whole step renews the time: a client that sends a byte now and then would keep the connection for ever.
	if p.moved += n; p.moved >= p.step {
		p.moved, p.left = 0, p.limit
	}
	// With HTTP/2 a deadline that passes ends the stream even while the handler neither reads nor writes.
	_ = p.set(p.own)
}

// pacedBody is the body of a request whose client has to send at a pace.
type pacedBody struct {
	body  io.ReadCloser
	http1 bool

	mu      sync.Mutex
	pace    pace
	reading bool
	done    bool // read to its end, or not ours any more. The server waits for the next request by then.
}

func newPacedBody(r *http.Request, rc *http.ResponseController, limit time.Duration) *pacedBody {
	return &pacedBody{
		body: r.Body, http1: r.ProtoMajor == 1, pace: newPace(MinBodyProgress, limit, rc.SetReadDeadline),
	}
}

// Read reads what the client has sent, or waits for it.
func (b *pacedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	paced := !b.done
	if paced {
		b.reading = true
		b.pace.begin()
	}
	b.mu.Unlock()
	// The lock is not held while the read waits: a handler may write or set a deadline meanwhile.
	n, err := b.body.Read(p)
	if !paced {
		return n, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if err == io.EOF {
		b.done = true
	}
	if !b.done { // if it is, the server has lifted the deadline already
		b.pace.end(int64(n))
	}
	return n, err
}

// Close closes the body.
func (b *pacedBody) Close() error { return b.body.Close() }

// drain is called before the server may read what the handler has left of the body, which with HTTP/1 it does at the
// first bytes of the answer and when the handler has returned.
func (b *pacedBody) drain() {
	if b == nil || !b.http1 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done && !b.reading {
		b.pace.begin()
	}
}

// drained is called after drain, unless the handler has returned.
func (b *pacedBody) drained() {
	if b == nil || !b.http1 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done && !b.reading {
		b.pace.end(0)
	}
}

func (b *pacedBody) setDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace.own = t
	return b.pace.set(t)
}

// release leaves the connection to others.
func (b *pacedBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
}
