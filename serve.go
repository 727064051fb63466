package pulpcore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/webserver"
)

// Serve is [App.Serve] with the defaults of all limits, for servers without an App.
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
	return listenAndServe(ctx, a.Limits(), addr, a.front.handler(h))
}

// ServeOn is [App.Serve] on a listener that the caller made, for example on port 0. It closes the listener.
func (a *App) ServeOn(ctx context.Context, l net.Listener, h http.Handler) error {
	return serveOn(ctx, a.Limits(), l, a.front.handler(h))
}

func listenAndServe(ctx context.Context, limits *webserver.Limits, addr string, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("pulpcore: serve: %w: %w", pulperr.Unavailable, err)
	}
	return serveOn(ctx, limits, l, h)
}

// shutdownTimeout is the time that requests in flight have when a server ends.
const shutdownTimeout = 30 * time.Second

func serveOn(ctx context.Context, limits *webserver.Limits, l net.Listener, h http.Handler) error {
	srv := limits.Server(h)
	// Streams of events have no end of their own: they end with ctx, or Shutdown would wait for them. Other requests must
	// not be canceled with ctx, so their context comes from Background.
	srv.BaseContext = func(net.Listener) context.Context {
		return rest.WithShutdown(context.Background(), ctx)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("pulpcore: serve: %w", err)
	case <-ctx.Done():
	}
	// ctx is done already; with it Shutdown would return before the requests in flight have ended.
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(shutdown)
	if errors.Is(err, context.DeadlineExceeded) {
		// Shutdown leaves connections open that are still in use at its deadline.
		err = srv.Close()
	}
	<-ended //nolint:errcheck // it is http.ErrServerClosed
	return err
}
