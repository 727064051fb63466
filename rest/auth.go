package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/login"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// Authenticator returns the account of a request. It must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the user, or nil if the request brings no credentials that it knows.
	//
	// Errors: Unauthorized for credentials that are wrong; TooMany and Unavailable if they were not verified.
	Authenticate(r *http.Request) (*accounts.User, error)
}

// FirstOf returns an authenticator that asks others one after the other, until one of them knows the credentials of the
// request or refuses them.
func FirstOf(list ...Authenticator) Authenticator { return firstOf(list) }

type firstOf []Authenticator

func (f firstOf) Authenticate(r *http.Request) (*accounts.User, error) {
	for _, a := range f {
		if u, err := a.Authenticate(r); u != nil || err != nil {
			return u, err
		}
	}
	return nil, nil
}

// BasicAuthOptions are the parts of [BasicAuth] that have defaults.
type BasicAuthOptions struct {
	// Log receives a warning for each log-in that is refused: the name, the client's address, the correlation id and the
	// reason; never the password. Default: nowhere.
	Log *slog.Logger
}

// BasicAuth returns an [Authenticator] for HTTP basic authentication against the accounts in the database. Share one
// between all handlers of a process: it bounds what log-ins cost.
//
// Verifying a password is expensive on purpose, so a success is remembered, as long as it is used every 5 minutes and
// for an hour at most; a changed password or an account that was switched off takes effect within 10 seconds.
// At most half of the processors verify passwords, four at most; requests that wait get their turns fairly by address
// and name.
// Of 128 waiting requests, 32 of an address and 8 of a name there, more are answered with 503. A refused log-in is
// answered half a second after its verification began, whatever the reason. After five failures of a name
// from an address the next tries there are answered with 429 for a time that doubles from 1 second to a minute.
//
// The address is that of the connection: behind a proxy, put [webserver.Proxies] around.
func BasicAuth(db *models.DB, opts *BasicAuthOptions) Authenticator {
	if opts == nil {
		opts = &BasicAuthOptions{}
	}
	b := &basicAuth{
		db: db, log: opts.Log, turns: login.NewTurns(min(maxVerifying, max(1, runtime.GOMAXPROCS(0)/2))),
		failures: login.NewFailures(), known: login.NewKnown[*accounts.User](),
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	return b
}

const (
	// maxVerifying is how many passwords are verified at a time, however many processors there are.
	maxVerifying = 4
	// maxCredentials is how long name and password may be together, in bytes.
	maxCredentials = 4096
	// refusalStep is the time, or a multiple of it, after which a log-in is refused, so that the time does not reveal the
	// reason.
	refusalStep = 500 * time.Millisecond
)

var errRefused = pulperr.Public(pulperr.Unauthorized, "Invalid username/password.")

type basicAuth struct {
	db       *models.DB
	log      *slog.Logger
	turns    *login.Turns
	failures *login.Failures
	known    *login.Known[*accounts.User]
}

// attempt is a log-in.
type attempt struct{ name, password, source string }

func (b *basicAuth) Authenticate(r *http.Request) (*accounts.User, error) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return nil, nil
	}
	a := attempt{name, password, webserver.SourceOf(r)}
	u, err := b.authenticate(r.Context(), a)
	if err != nil {
		b.logRefusal(r, a, err)
	}
	return u, err
}

func (b *basicAuth) authenticate(ctx context.Context, a attempt) (*accounts.User, error) {
	if len(a.name)+len(a.password) > maxCredentials {
		return nil, errRefused
	}
	// Remembered credentials pass before failures are looked at: others behind the same address may guess the name.
	if u, err := b.recall(ctx, a); u != nil || err != nil {
		return u, err
	}
	// A blocked client must not take a place in the queue for turns.
	if err := b.failures.Check(a.source, a.name); err != nil {
		return nil, err
	}
	// A turn bounds how many passwords are verified at a time, for each takes a processor.
	leave, err := b.turns.Enter(ctx, a.source, a.name)
	if err != nil {
		return nil, err
	}
	defer leave()
	// Another request may have verified the same credentials, or failed with them, while this one waited.
	if u, err := b.recall(ctx, a); u != nil || err != nil {
		return u, err
	}
	if err := b.failures.Check(a.source, a.name); err != nil {
		return nil, err
	}
	began := time.Now()
	u, err := accounts.Authenticate(ctx, b.db, a.name, a.password)
	switch {
	case errors.Is(err, pulperr.Unauthorized):
		b.failures.Add(a.source, a.name)
		// The turn ends before the pause: a refused client must not keep others from verifying.
		leave()
		// The pause ends at a multiple of the step, so that a verification that takes longer than one does not show either.
		pause(ctx, refusalStep-time.Since(began)%refusalStep)
		return nil, err
	case err != nil:
		return nil, err
	}
	b.failures.Forget(a.source, a.name)
	b.known.Remember(a.name, a.password, u)
	return u, nil
}

// recall returns nil for credentials that were not verified lately, or whose account has changed.
func (b *basicAuth) recall(ctx context.Context, a attempt) (*accounts.User, error) {
	u, fresh, ok := b.known.Recall(a.name, a.password)
	if !ok || fresh {
		return u, nil
	}
	now, err := accounts.ByName(ctx, b.db, a.name)
	switch {
	case err != nil && !errors.Is(err, pulperr.NotFound):
		return nil, err
	case err != nil, !now.IsActive, now.ID != u.ID, now.Password != u.Password:
		b.known.Forget(a.name, a.password)
		return nil, nil
	}
	b.known.Refresh(a.name, a.password, now)
	return now, nil
}

// logRefusal logs a log-in that was refused.
func (b *basicAuth) logRefusal(r *http.Request, a attempt, err error) {
	ctx := r.Context()
	switch kind := pulperr.KindOf(err); {
	case errors.Is(err, login.ErrFull), kind == pulperr.Unauthorized, kind == pulperr.TooMany:
		// A name may have 4 KiB here. Django allows 150 letters, and Pulp's accounts are Django's.
		const longest = 150
		b.log.WarnContext(ctx, "log-in refused", "user", clip(a.name, longest), "address", webserver.AddressOf(r),
			"correlation_id", tasking.CorrelationID(ctx), "reason", pulperr.Message(err))
	}
}

// clip shortens a text that a client sent.
func clip(text string, most int) string {
	// A letter has at most four bytes, so the rest of a long text is not decoded.
	if runes := []rune(text[:min(len(text), 4*most)]); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	// A client that has left needs no pause, and its goroutine can end.
	case <-ctx.Done():
	}
}
