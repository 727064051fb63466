package webserver

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
)

// Guard stands around a handler, so that every answer has the headers which it must have, and so that a panic is
// logged and answered.
type Guard struct {
	// Seal is given the header of each answer just before it is sent, also of errors and panics. The handler cannot remove
	// the headers that it sets. Default: no headers are added.
	Seal func(h http.Header)
	// Panicked answers a request whose handler panicked before it sent a part of its answer. After a part was sent, the
	// connection is closed instead: the client would take an added error for a part of the answer. Default: 500 without a
	// body.
	Panicked func(w http.ResponseWriter, r *http.Request)
	// Log receives panics, with the stack. Default: nowhere.
	Log *slog.Logger
}

// Handler returns h inside the guard.
func (g *Guard) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.Serve(w, r, h) })
}

// Serve answers a request with h inside the guard.
func (g *Guard) Serve(w http.ResponseWriter, r *http.Request, h http.Handler) {
	s := &sealedWriter{ResponseWriter: w, rc: http.NewResponseController(w), seal: g.Seal}
	defer func() {
		if p := recover(); p != nil {
			g.panicked(s, r, p)
		}
	}()
	h.ServeHTTP(s, r)
	s.begin(http.StatusOK) // net/http answers 200 to a handler that has not written, and that answer is sealed too
}

func (g *Guard) panicked(s *sealedWriter, r *http.Request, p any) {
	// The handler cut the connection on purpose. net/http knows this panic and does not log it.
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it this way
		panic(p)
	}
	if g.Log != nil {
		g.Log.ErrorContext(r.Context(), "handler panicked", "method", r.Method, "path", r.URL.Path,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	// The client has the status already. A cut connection is the only sign left that the answer is not whole.
	if s.sent {
		panic(http.ErrAbortHandler)
	}
	// These headers describe the answer that the handler did not finish: its Content-Length would cut off the error, and a
	// cache could keep the error under its Etag.
	for _, name := range []string{
		"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type",
		"Etag", "Last-Modified", "Location", "Trailer", "Transfer-Encoding",
	} {
		s.Header().Del(name)
	}
	if g.Panicked == nil {
		s.WriteHeader(http.StatusInternalServerError)
		return
	}
	g.Panicked(s, r)
}

// sealedWriter is a ResponseWriter that seals the header before it is sent, and knows whether it was.
type sealedWriter struct {
	http.ResponseWriter

	rc   *http.ResponseController
	seal func(http.Header)
	sent bool
}

// begin is called before every call that can send the header.
func (w *sealedWriter) begin(status int) {
	if w.sent {
		return
	}
	// The answer follows an informational status such as 103. 101 is the exception: the connection is the handler's then.
	w.sent = status >= http.StatusOK || status == http.StatusSwitchingProtocols
	if w.seal != nil {
		w.seal(w.Header())
	}
}

// WriteHeader sends the sealed header.
func (w *sealedWriter) WriteHeader(status int) {
	w.begin(status)
	w.ResponseWriter.WriteHeader(status)
}

// Write sends the sealed header before the first bytes.
func (w *sealedWriter) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// ReadFrom sends the sealed header before the first bytes.
func (w *sealedWriter) ReadFrom(src io.Reader) (int64, error) {
	w.begin(http.StatusOK)
	// The ResponseWriter of net/http sends a file by sendfile here. Write would copy it through memory.
	if to, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(onlyWriter{w.ResponseWriter}, src)
}

// FlushError sends the sealed header and the written bytes.
func (w *sealedWriter) FlushError() error {
	if !w.sent {
		return w.firstFlush()
	}
	return w.rc.Flush()
}

// firstFlush sends the header.
func (w *sealedWriter) firstFlush() error {
	w.begin(http.StatusOK)
	err := w.rc.Flush()
	// A ResponseWriter that cannot flush has not sent the header, so a later error can still be answered.
	w.sent = err == nil
	return err
}

// Flush is FlushError for callers that need an [http.Flusher].
func (w *sealedWriter) Flush() { _ = w.FlushError() }

// Hijack hands the connection over. The guard seals no more headers then.
func (w *sealedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.rc.Hijack()
	if err == nil {
		w.sent = true
	}
	return conn, rw, err
}

// Unwrap returns the ResponseWriter below, for [http.ResponseController].
func (w *sealedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
