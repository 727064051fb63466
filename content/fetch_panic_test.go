package content_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

// trap panics at the next operation of a kind on a store, once.
type trap struct{ armed atomic.Value }

func (tr *trap) intercept(_ context.Context, op storage.Op, _ string) error {
	if tr.armed.CompareAndSwap(op, storage.Op("")) {
		panic("boom")
	}
	return nil
}

// panicCase is a panic in the goroutine that fetches.
type panicCase struct {
	name   string
	op     storage.Op // of the store, in which it happens
	late   bool       // when the client has read something
	status int        // of the client's answer
	whole  bool       // the answer has all bytes
}

// TestPanicsOfFetches: the store's driver panics while the content app fetches a file. The app answers 500 or cuts the
// connection, gives the fetch's slot back, and serves the file to the next client.
func TestPanicsOfFetches(t *testing.T) {
	t.Parallel()
	for _, tt := range []panicCase{
		{"before the first byte", storage.OpCreate, false, 500, false},
		{"at the first byte", storage.OpWrite, false, 500, false},
		{"within the file", storage.OpWrite, true, 200, false},
		{"after the last byte", storage.OpCommit, false, 200, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, url string) {
				t.Parallel()
				tt.run(t, url)
			})
		})
	}
}

func (tt panicCase) run(t *testing.T, url string) {
	var log record
	var tr trap
	s := newSite(t, url, &siteOptions{
		Options:  content.Options{MaxFetches: 1, Log: slog.New(slog.NewTextHandler(&log, nil))},
		storeOpt: &storage.Options{Intercept: tr.intercept},
	})
	text, hasRead := body(large), make(chan struct{})
	var u *upstream
	u = newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		first := u.requests.Load() == 1
		if first && !tt.late {
			tr.armed.Store(tt.op)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text[:200<<10])
		w.(http.Flusher).Flush()
		if first && tt.late {
			<-hasRead
			tr.armed.Store(tt.op)
		}
		_, _ = io.WriteString(w, text[200<<10:])
	})
	s.absent(models.OnDemand, u.URL, promise(text))

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/pulp/content/x/f", http.NoBody)
	s.must(err)
	res, err := client.Do(req)
	s.must(err)
	defer res.Body.Close()
	_, err = res.Body.Read(make([]byte, 1))
	s.must(err)
	close(hasRead)
	_, err = io.Copy(io.Discard, res.Body)
	if res.StatusCode != tt.status || (err == nil) != (tt.whole || tt.status == 500) {
		t.Errorf("first GET = %s, %v; want %d", res.Status, err, tt.status)
	}
	if got := s.get("/pulp/content/x/f"); got.StatusCode != 200 || got.body != text || got.err != nil {
		t.Errorf("second GET = %s with %d bytes, %v", got.Status, len(got.body), got.err)
	}
	s.drain()
	if n := strings.Count(log.String(), "fetch of content panicked"); n != 1 || !strings.Contains(log.String(), "panic=boom") {
		t.Errorf("%d panics in the log, want 1: %s", n, log.String())
	}
	if n := u.requests.Load(); n != 2 && !tt.whole { // a client that comes before the panic reads what is here
		t.Errorf("%d upstream requests, want 2", n)
	}
}
