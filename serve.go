package pulpcore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/webserver"
)

// Together runs functions that live until ctx is done, side by side. When one of them returns early, with an error or
// without, the others are told to end; the first error is returned. Functions follow the library's rule for things that
// live: they return nil once ctx is done and their work is drained.
func Together(ctx context.Context, fns ...func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group errgroup.Group
	for _, fn := range fns {
		group.Go(func() error {
			defer cancel()
			return fn(ctx)
		})
	}
	return group.Wait()
}

// Serve is [App.Serve] with the defaults of all limits, for programs that serve something else.
//
// Errors: Unavailable if the address cannot be listened on.
func Serve(ctx context.Context, addr string, h http.Handler) error {
	return listenAndServe(ctx, nil, addr, h)
}

// ServeOn is [Serve] on a listener that the caller made, for example on port 0. It closes the listener.
func ServeOn(ctx context.Context, l net.Listener, h http.Handler) error {
	return serveOn(ctx, nil, l, h)
}

// Serve serves h, which may be one of the App's handlers or have them inside, on a TCP address, such as ":24817", until
// ctx is done; then it ends streams of events and waits for other requests in flight, for 30 seconds at most. It keeps
// the limits of [App.Limits] for all of h.
//
// Errors: Unavailable if the address cannot be listened on.
func (a *App) Serve(ctx context.Context, addr string, h http.Handler) error {
	return listenAndServe(ctx, a.Limits(), addr, a.behindFront(h))
}

// ServeOn is [App.Serve] on a listener that the caller made, for example on port 0. It closes the listener.
func (a *App) ServeOn(ctx context.Context, l net.Listener, h http.Handler) error {
	return serveOn(ctx, a.Limits(), l, a.behindFront(h))
}

func listenAndServe(ctx context.Context, limits *webserver.Limits, addr string, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("pulpcore: serve: %w: %w", pulperr.Unavailable, err)
	}
	return serveOn(ctx, limits, l, h)
}

// drainTime is how long requests in flight may take when a server ends.
const drainTime = 30 * time.Second

func serveOn(ctx context.Context, limits *webserver.Limits, l net.Listener, h http.Handler) error {
	srv := limits.Server(h)
	srv.BaseContext = func(net.Listener) context.Context { // whose streams end before requests are waited for
		return rest.WithShutdown(context.Background(), ctx)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("pulpcore: serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := srv.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	<-ended //nolint:errcheck // it is http.ErrServerClosed
	return err
}

// Handler returns API and content app behind one handler, for a server that has nothing else to serve. The content app
// gets what is below CONTENT_PATH_PREFIX and the content routes of plugins, the API everything else.
func (a *App) Handler() http.Handler {
	prefix, content := a.set.Core().ContentPathPrefix, a.Content()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, plugin := a.contentRoutes.Handler(r)
		if strings.HasPrefix(r.URL.Path+"/", prefix) || plugin != "" {
			content.ServeHTTP(w, r)
			return
		}
		a.api.ServeHTTP(w, r)
	})
}
