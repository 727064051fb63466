package rest_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
)

// endless is a body of which only the beginning differs from byte to byte, and counts what is read of it.
type endless struct {
	begin      string
	left, read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	for i := range p[:n] {
		p[i] = 'x'
	}
	if e.read == 0 {
		copy(p, e.begin)
	}
	e.left -= int64(n)
	e.read += int64(n)
	return n, nil
}

// TestLargeBody sends 1 GiB where JSON or a form is expected: the body is refused with 413 after its first 10 MiB.
func TestLargeBody(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	b := setup(t, dbtest.SQLite(t), nil)
	const size, most = 1 << 30, 10<<20 + 1<<20
	repo := b.repo()
	for typ, begin := range map[string]string{
		"application/json": `{"name": "`, "application/x-www-form-urlencoded": "name=",
		"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n",
	} {
		for _, length := range []int64{size, -1} { // with Content-Length, and chunked
			for method, path := range map[string]string{
				"POST": "/pulp/api/v3/repositories/file/file/", "PATCH": repo, "PUT": repo, "GET": repo,
			} {
				body := &endless{begin: begin, left: size}
				r := httptest.NewRequest(method, path, body)
				r.ContentLength = length
				r.Header.Set("Content-Type", typ)
				r.SetBasicAuth(admin, password)
				w := httptest.NewRecorder()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				b.api.ServeHTTP(w, r)
				runtime.ReadMemStats(&after)
				want := http.StatusRequestEntityTooLarge
				if method == "GET" {
					want = http.StatusOK // its body has no meaning and is not read
				}
				if w.Code != want {
					t.Errorf("%s %s with length %d = %d: %.200s, want %d", method, typ, length, w.Code, w.Body, want)
				}
				if body.read > most {
					t.Errorf("%s %s with length %d: %d bytes were read, want at most %d", method, typ, length, body.read, most)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > 100<<20 {
					t.Errorf("%s %s with length %d: %d bytes were allocated", method, typ, length, took)
				}
			}
		}
	}
}

// TestWrongContentLength has clients that send less or more than they announced.
func TestWrongContentLength(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	server := httptest.NewServer(b.api)
	t.Cleanup(server.Close)
	const head = "POST /pulp/api/v3/repositories/file/file/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: " +
		"Basic YWRtaW46YSBwYXNzd29yZCB0aGF0IGlzIGxvbmc=\r\nContent-Type: application/json\r\nConnection: close\r\n"
	for name, tt := range map[string]struct{ request, want string }{
		"less than announced": {head + "Content-Length: 100\r\n\r\n{\"name\": \"a\"}", "400"},
		// What follows the announced bytes belongs to the next request.
		"more than announced":  {head + "Content-Length: 13\r\n\r\n{\"name\": \"b\"}, \"c\": \"d\"}", "201"},
		"a cut JSON":           {head + "Content-Length: 5\r\n\r\n{\"name\": \"c\"}", "400"},
		"negative":             {head + "Content-Length: -1\r\n\r\n{}", "400"},
		"two lengths":          {head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "400"},
		"a chunk that is cut":  {head + "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"name\"", "400"},
		"a chunk with no size": {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", "400"},
		"chunks":               {head + "Transfer-Encoding: chunked\r\n\r\nd\r\n{\"name\": \"e\"}\r\n0\r\n\r\n", "201"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := exchange(t, server.Listener.Addr().String(), tt.request, tt.want == "400")
			if !strings.HasPrefix(answer, "HTTP/1.1 "+tt.want+" ") {
				t.Errorf("answer = %.400s, want %s", answer, tt.want)
			}
		})
	}
}

// exchange sends a request as it is and returns the answer. With cut it ends its side of the connection, for a request
// that is not whole: net/http takes a client that does so for gone, and would cancel a whole one.
func exchange(t *testing.T, address, request string, cut bool) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", address)
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	must(t, err)
	if tcp, ok := conn.(*net.TCPConn); ok && cut {
		must(t, tcp.CloseWrite())
	}
	answer, err := io.ReadAll(conn)
	must(t, err)
	return string(answer)
}
