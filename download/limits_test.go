package download_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// inBubble runs fn with a client and a server in a bubble of fake time.
func inBubble(t *testing.T, cfg download.Config, h http.HandlerFunc, fn func(t *testing.T, c *download.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv, network := servePipe(h)
		if cfg.DialContext == nil {
			cfg.DialContext = network.Dial
		}
		c, err := download.New(&cfg)
		if err != nil {
			t.Fatalf("New = %v", err)
		}
		fn(t, c)
		c.Close()
		srv.Close()
	})
}

func get(t *testing.T, c *download.Client, sink download.Sink) error {
	t.Helper()
	_, err := c.Stream(t.Context(), &download.Request{URL: "http://mirror.example/file"}, sink)
	return err
}

func TestSilentBody(t *testing.T) {
	t.Parallel()
	data := testData(1000)
	var requests atomic.Int32
	inBubble(t, download.Config{SockReadTimeout: 45 * time.Second}, func(w http.ResponseWriter, r *http.Request) {
		s := &source{data: data, tag: `"v1"`, framing: byLength}
		if requests.Add(1) > 1 {
			s.ServeHTTP(w, r)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(data[:400])
		w.(http.Flusher).Flush()
		<-r.Context().Done() // silent from here on
	}, func(t *testing.T, c *download.Client) {
		start := time.Now()
		var sink memory
		if err := get(t, c, &sink); err != nil || !bytes.Equal(sink.Bytes(), data) || sink.resets != 0 {
			t.Fatalf("Stream = %v with %d bytes, %d resets", err, sink.Len(), sink.resets)
		}
		if took := time.Since(start); took < 45*time.Second || took > 46*time.Second {
			t.Errorf("took %v, want 45 s and a short wait", took)
		}
	})
}

func TestSilentHeader(t *testing.T) {
	t.Parallel()
	none := 0
	cfg := download.Config{SockReadTimeout: 45 * time.Second, MaxRetries: &none}
	inBubble(t, cfg, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(t *testing.T, c *download.Client) {
			start := time.Now()
			err := get(t, c, &memory{})
			wantKind(t, err, pulperr.Unavailable)
			if took := time.Since(start); took != 45*time.Second || pulperr.Code(err) != "PLP0005" {
				t.Errorf("Stream = %v (code %q) after %v", err, pulperr.Code(err), took)
			}
		})
}

// A long download that goes on is healthy, and one that the reader holds up is too.
func TestSlowButAlive(t *testing.T) {
	t.Parallel()
	const pieces = 100
	piece := bytes.Repeat([]byte("x"), 60*download.DefaultMinRate)
	inBubble(t, download.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		for range pieces {
			time.Sleep(59 * time.Second) // fake time; just below the limit
			_, _ = w.Write(piece)
			w.(http.Flusher).Flush()
		}
	}, func(t *testing.T, c *download.Client) {
		sink := &slowSink{delay: time.Hour}
		start := time.Now()
		if err := get(t, c, sink); err != nil || sink.Len() != pieces*len(piece) || sink.resets != 0 {
			t.Fatalf("Stream = %v with %d bytes", err, sink.Len())
		}
		if took := time.Since(start); took < pieces*time.Minute {
			t.Errorf("took only %v", took)
		}
	})
}

// A byte now and then is no download: it would keep a task and what that has reserved for years.
func TestTrickle(t *testing.T) {
	t.Parallel()
	trickle := func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(59 * time.Second) // fake time; just below the limit
		defer tick.Stop()
		for range 1000 {
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		}
	}
	none := 0
	inBubble(t, download.Config{MaxRetries: &none}, trickle, func(t *testing.T, c *download.Client) {
		start := time.Now()
		err := get(t, c, &memory{})
		wantKind(t, err, pulperr.Unavailable)
		if took := time.Since(start); took > 4*time.Minute || pulperr.Code(err) != "PLP0005" {
			t.Errorf("Stream = %v (code %q) after %v", err, pulperr.Code(err), took)
		}
	})
	inBubble(t, download.Config{MaxRetries: &none, MinRate: -1}, trickle, func(t *testing.T, c *download.Client) {
		sink := &memory{}
		if err := get(t, c, sink); err != nil || sink.Len() != 1000 {
			t.Errorf("Stream with any rate = %v, %d bytes", err, sink.Len())
		}
	})
}

// slowSink waits before it takes its first bytes.
type slowSink struct {
	memory
	delay time.Duration
}

func (s *slowSink) Write(p []byte) (int, error) {
	time.Sleep(s.delay)
	s.delay = 0
	return s.memory.Write(p)
}

func TestTotalTimeout(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 25)
	inBubble(t, download.Config{TotalTimeout: 10500 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		s := source{data: data, tag: `"v1"`}
		h := w.Header()
		start, status := s.span(r, h)
		h.Set("ETag", s.tag)
		h.Set("Content-Length", strconv.Itoa(len(data)-start))
		w.WriteHeader(status)
		for range data[start:] {
			time.Sleep(time.Second) // fake time
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}, func(t *testing.T, c *download.Client) {
		sink := &memory{}
		res, err := c.Stream(t.Context(), &download.Request{URL: "http://mirror.example/"}, sink)
		if err != nil || res.Attempts != 3 || sink.Len() != len(data) || sink.resets != 0 {
			t.Fatalf("Stream = %+v, %v; %d bytes, %d resets", res, err, sink.Len(), sink.resets)
		}
	})
}

func TestConnectTimeouts(t *testing.T) {
	t.Parallel()
	none := 0
	never := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, cfg := range []download.Config{
		{ConnectTimeout: 7 * time.Second},
		{SockConnectTimeout: 7 * time.Second},
	} {
		cfg.MaxRetries, cfg.DialContext = &none, never
		inBubble(t, cfg, fine, func(t *testing.T, c *download.Client) {
			start := time.Now()
			err := get(t, c, &memory{})
			wantKind(t, err, pulperr.Unavailable)
			if took := time.Since(start); took != 7*time.Second || pulperr.Code(err) != "PLP0005" {
				t.Errorf("Stream = %v (code %q) after %v", err, pulperr.Code(err), took)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	retries := 9
	var times []time.Time
	cfg := download.Config{MaxRetries: &retries, RetryDelay: time.Second}
	inBubble(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
		times = append(times, time.Now())
		w.WriteHeader(http.StatusBadGateway)
	}, func(t *testing.T, c *download.Client) {
		wantKind(t, get(t, c, &memory{}), pulperr.Unavailable)
		want := []time.Duration{1, 2, 4, 8, 16, 30, 30, 30, 30}
		if len(times) != len(want)+1 {
			t.Fatalf("requests = %d, want %d", len(times), len(want)+1)
		}
		for i, s := range want {
			if gap := times[i+1].Sub(times[i]); gap > s*time.Second || gap < s*time.Second/2-time.Millisecond {
				t.Errorf("wait %d = %v, want between half of and all of %v", i+1, gap, s*time.Second)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "3600": time.Minute, "soon": 500 * time.Millisecond, "0": 500 * time.Millisecond,
	} {
		var requests atomic.Int32
		inBubble(t, download.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) == 1 {
				w.Header().Set("Retry-After", value)
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			fine(w, r)
		}, func(t *testing.T, c *download.Client) {
			start := time.Now()
			if err := get(t, c, &memory{}); err != nil {
				t.Fatalf("Stream = %v", err)
			}
			if took := time.Since(start); took > want || took < want/2 || want >= time.Second && took != want {
				t.Errorf("Retry-After %q: waited %v, want %v", value, took, want)
			}
		})
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	reason := errors.New("the task was canceled")
	inBubble(t, download.Config{RetryDelay: 20 * time.Second}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	}, func(t *testing.T, c *download.Client) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer time.AfterFunc(5*time.Second, func() { cancel(reason) }).Stop()
		start := time.Now()
		_, err := c.Stream(ctx, &download.Request{URL: "http://mirror.example/"}, &memory{})
		wantKind(t, err, pulperr.Canceled)
		if !errors.Is(err, reason) || time.Since(start) != 5*time.Second {
			t.Errorf("Stream = %v after %v", err, time.Since(start))
		}
	})
}

func TestCancelMidBody(t *testing.T) {
	t.Parallel()
	inBubble(t, download.Config{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "beginning")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c *download.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		sink := &memory{}
		_, err := c.Stream(ctx, &download.Request{URL: "http://mirror.example/"}, sink)
		wantKind(t, err, pulperr.Unavailable)
		if !errors.Is(err, context.DeadlineExceeded) || sink.String() != "beginning" {
			t.Errorf("Stream = %v with %q", err, sink.String())
		}
	})
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	var times []time.Time
	var mu sync.Mutex
	inBubble(t, download.Config{RateLimit: 5}, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		times = append(times, time.Now())
		n := len(times)
		mu.Unlock()
		if n == 3 { // redirects and retries count too
			http.Redirect(w, r, "/other", http.StatusFound)
			return
		}
		fine(w, r)
	}, func(t *testing.T, c *download.Client) {
		var wg sync.WaitGroup
		for range 9 {
			wg.Go(func() {
				if err := get(t, c, &memory{}); err != nil {
					t.Errorf("Stream = %v", err)
				}
			})
		}
		wg.Wait()
		if len(times) != 10 {
			t.Fatalf("requests = %d, want 10", len(times))
		}
		for i, at := range times {
			if got := at.Sub(times[0]).Round(time.Millisecond); got != time.Duration(i)*200*time.Millisecond {
				t.Errorf("request %d came after %v, want %v", i, got, time.Duration(i)*200*time.Millisecond)
			}
		}
	})
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			want := limit
			if limit == 0 {
				want = download.DefaultConcurrency
			}
			var running atomic.Int32
			goOn := make(chan struct{})
			inBubble(t, download.Config{Concurrency: limit}, func(w http.ResponseWriter, r *http.Request) {
				running.Add(1)
				<-goOn
				running.Add(-1)
				fine(w, r)
			}, func(t *testing.T, c *download.Client) {
				goOn = make(chan struct{}) // of this bubble
				var wg sync.WaitGroup
				for i := range 3 * want {
					wg.Go(func() { // the limit is the remote's, not each host's
						url := fmt.Sprintf("http://mirror%d.example/", i)
						if _, err := c.Stream(t.Context(), &download.Request{URL: url}, &memory{}); err != nil {
							t.Errorf("Stream = %v", err)
						}
					})
				}
				for range 3 * want {
					synctest.Wait()
					if got := int(running.Load()); got > want {
						t.Errorf("running = %d, want at most %d", got, want)
					}
					goOn <- struct{}{}
				}
				wg.Wait()
			})
		})
	}
}

// A download that waits for its retry does not keep others from the source.
func TestWaitingNeedsNoSlot(t *testing.T) {
	t.Parallel()
	cfg := download.Config{Concurrency: 1, RetryDelay: 20 * time.Second}
	inBubble(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fine(w, r)
	}, func(t *testing.T, c *download.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Stream(ctx, &download.Request{URL: "http://mirror.example/bad"}, &memory{})
			wantKind(t, err, pulperr.Canceled)
		})
		synctest.Wait()
		start := time.Now()
		if err := get(t, c, &memory{}); err != nil || time.Since(start) != 0 {
			t.Errorf("Stream = %v after %v", err, time.Since(start))
		}
		cancel()
		wg.Wait()
	})
}

func TestCancelWhileWaitingForSlot(t *testing.T) {
	t.Parallel()
	inBubble(t, download.Config{Concurrency: 1}, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Second) // fake time
		fine(w, r)
	}, func(t *testing.T, c *download.Client) {
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := get(t, c, &memory{}); err != nil {
				t.Errorf("Stream = %v", err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Stream(ctx, &download.Request{URL: "http://mirror.example/"}, &memory{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stream = %v, want the deadline", err)
		}
		wg.Wait()
	})
}

// All bytes came, but the source goes silent instead of ending the body.
func TestSilentEnd(t *testing.T) {
	t.Parallel()
	data := testData(1000)
	md5 := hashlib.Digests{SHA256: sha256Of(data), MD5: "00000000000000000000000000000000"} // md5 is not compared
	for _, tt := range []struct {
		expect   *hashlib.Expect
		attempts int
		took     time.Duration
	}{
		{&hashlib.Expect{Size: hashlib.Size(1000), Digests: md5}, 1, time.Minute},
		{&hashlib.Expect{Size: hashlib.Size(1000)}, 2, time.Minute + time.Second},
	} {
		var requests atomic.Int32
		inBubble(t, download.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) > 1 {
				(&source{data: data, tag: `"v1"`}).ServeHTTP(w, r)
				return
			}
			w.Header().Set("ETag", `"v1"`)
			_, _ = w.Write(data)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, func(t *testing.T, c *download.Client) {
			start, sink := time.Now(), &memory{}
			res, err := c.Stream(t.Context(), &download.Request{URL: "http://mirror.example/", Expect: tt.expect}, sink)
			if err != nil || res.Attempts != tt.attempts || !bytes.Equal(sink.Bytes(), data) || sink.resets != 0 {
				t.Fatalf("Stream = %+v, %v; %d bytes, %d resets", res, err, sink.Len(), sink.resets)
			}
			if took := time.Since(start); took < time.Minute || took > tt.took {
				t.Errorf("took %v", took)
			}
		})
	}
}

// The rest of an answer that nobody wants is not waited for.
func TestSilentErrorBody(t *testing.T) {
	t.Parallel()
	inBubble(t, download.Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "please hold the line")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c *download.Client) {
		start := time.Now()
		wantKind(t, get(t, c, &memory{}), pulperr.NotFound)
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}
