package webserver

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// pacedWriter is a ResponseWriter whose client has to take the answer at a pace. Like all wrappers here it can do what
// the one below can: flush, hijack, and send files without copying them.
type pacedWriter struct {
	http.ResponseWriter

	rc       *http.ResponseController
	pace     pace
	body     *pacedBody // nil if the request has none
	hijacked bool
}

func newPacedWriter(w http.ResponseWriter, limit time.Duration) *pacedWriter {
	rc := http.NewResponseController(w)
	return &pacedWriter{ResponseWriter: w, rc: rc, pace: newPace(MinSendProgress, limit, rc.SetWriteDeadline)}
}

func (w *pacedWriter) begin() {
	w.body.drain()
	w.pace.begin()
}

func (w *pacedWriter) progress(n int64) {
	w.pace.end(n)
	w.body.drained()
}

// Write sends p in pieces of [MinSendProgress] bytes.
func (w *pacedWriter) Write(p []byte) (n int, err error) {
	for {
		// One deadline for the whole of p would cut off a slow client that still makes progress.
		piece := p[n:min(len(p), n+MinSendProgress)]
		w.begin()
		m, err := w.ResponseWriter.Write(piece)
		w.progress(int64(m))
		n += m
		if err != nil || n >= len(p) {
			return n, err
		}
	}
}

// ReadFrom sends src. Files go piece by piece to the ReadFrom of the ResponseWriter below, which uses sendfile.
func (w *pacedWriter) ReadFrom(src io.Reader) (n int64, err error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	source, left := unlimited(src)
	if _, file := source.(*os.File); !ok || !file {
		// A source that waits, such as a remote, must not cost the client its time: io.Copy reads first and then calls Write.
		// Without onlyWriter it would call ReadFrom again, without end.
		return io.Copy(onlyWriter{w}, src)
	}
	for {
		piece := &io.LimitedReader{R: source, N: MinSendProgress}
		if left != nil {
			piece.N = min(piece.N, *left)
		}
		want := piece.N
		w.begin()
		m, err := to.ReadFrom(piece)
		w.progress(m)
		n += m
		if left != nil {
			// The piece reads past the LimitedReader of the caller, which therefore does not count.
			*left -= m
		}
		if err != nil || m < want || left != nil && *left <= 0 {
			return n, err
		}
	}
}

// unlimited returns the reader inside an [io.LimitedReader] and the rest of the limit. sendfile knows one such
// reader around a file, and not two.
func unlimited(src io.Reader) (source io.Reader, left *int64) {
	if l, ok := src.(*io.LimitedReader); ok {
		return l.R, &l.N
	}
	return src, nil
}

// onlyWriter hides all other methods.
type onlyWriter struct{ io.Writer }

// FlushError sends the written bytes.
func (w *pacedWriter) FlushError() error {
	w.begin()
	defer w.progress(0)
	return w.rc.Flush()
}

// Flush is FlushError for callers that need an [http.Flusher].
func (w *pacedWriter) Flush() { _ = w.FlushError() }

// Hijack hands the connection over. The limits end with it.
func (w *pacedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.rc.Hijack()
	if err == nil {
		w.hijacked = true
		w.body.release()
	}
	return conn, rw, err
}

// SetReadDeadline sets a deadline of the handler's own. The earlier one counts.
func (w *pacedWriter) SetReadDeadline(t time.Time) error {
	if w.body == nil {
		return w.rc.SetReadDeadline(t)
	}
	return w.body.setDeadline(t)
}

// SetWriteDeadline sets a deadline of the handler's own. The earlier one counts.
func (w *pacedWriter) SetWriteDeadline(t time.Time) error {
	w.pace.own = t
	return w.pace.set(t)
}

// Unwrap returns the ResponseWriter below, for [http.ResponseController].
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// end leaves deadlines for what the server does when the handler has returned: it sends the last bytes and drops what
// is left of the body.
func (w *pacedWriter) end() {
	if !w.hijacked {
		w.begin()
	}
}
