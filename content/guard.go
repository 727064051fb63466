package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Guard is implemented by the type of every content guard and decides which requests a distribution accepts. Mirrors
// pulpcore.plugin.models.ContentGuard.permit.
type Guard interface {
	// Permit returns nil to let the request pass. An error of kind Forbidden refuses it with 403, one of kind
	// Unauthorized with 401, one of kind TooMany with 429, and one of kind Unavailable with 503; the client sees its
	// public text, except with 503. Anything else, also a panic, is a fault of the guard, answered with 500.
	//
	// ctx ends after Options.GuardTimeout, and the request is answered with 503 then, whether or not Permit has returned.
	// Permit runs in a goroutine of its own, for several requests at a time.
	Permit(ctx context.Context, r *Request) error
}

// maxAsked is how many guards one request may need, so that guards that ask others cannot multiply the work.
const maxAsked = 100

// asked are the guards that one request has needed.
type asked struct {
	guards *guards
	now    []uuid.UUID   // that wait for the answer of the next one, outermost first
	total  *atomic.Int32 // of all guards
}

// guards asks the content guards of distributions.
type guards struct {
	db      *models.DB
	log     *slog.Logger
	timeout time.Duration
}

// permit asks the content guard of the request's distribution, if there is one.
func (g *guards) permit(req *Request, match *lookup.Match) error {
	if match.Distribution.AsDistribution().ContentGuardID == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(req.HTTP.Context(), g.timeout)
	defer cancel()
	own := *req
	// net/http may use the request and its body again while a guard that is late still reads them.
	own.HTTP = req.HTTP.Clone(ctx)
	own.HTTP.Body = http.NoBody
	own.asked = &asked{guards: g, total: new(atomic.Int32)}
	answer := make(chan error, 1) // so that a guard that is late can end
	go func() { answer <- g.answerOf(ctx, &own, match) }()
	select {
	case err := <-answer:
		// A guard that heeds its context returns an error of it at the same moment.
		if err == nil || ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
	}
	// The client has left.
	if err := context.Cause(req.HTTP.Context()); err != nil {
		return err
	}
	return fmt.Errorf("content: the content guard of distribution %q did not answer within %v: %w",
		match.Distribution.AsDistribution().Name, g.timeout, pulperr.Unavailable)
}

// answerOf returns what the guard decides, or an error if it panics.
func (g *guards) answerOf(ctx context.Context, req *Request, match *lookup.Match) (err error) {
	name := match.Distribution.AsDistribution().Name
	defer func() {
		if p := recover(); p != nil {
			g.log.ErrorContext(ctx, "content guard panicked", "distribution", name, "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
			err = fmt.Errorf("content: the content guard of distribution %q panicked: %w", name, pulperr.Internal)
		}
	}()
	row, err := match.Guard(ctx, g.db)
	if errors.Is(err, pulperr.NotFound) || err == nil && row == nil {
		// The guard was just deleted, or its plugin is gone; as long as the distribution names it no request passes.
		g.log.ErrorContext(ctx, "content guard cannot be asked", "distribution", name, "err", err)
		return pulperr.Public(pulperr.Forbidden, "The content guard of this path cannot be asked.")
	}
	if err != nil {
		return err
	}
	return g.ask(ctx, req, row)
}

// ask asks one guard.
func (g *guards) ask(ctx context.Context, req *Request, row models.AnyContentGuard) error {
	name := row.AsContentGuard().Name
	guard, ok := row.(Guard)
	if !ok {
		return fmt.Errorf("content: guard type %q has no Permit method: %w", row.PulpType(), pulperr.Internal)
	}
	inner := *req
	inner.asked = &asked{
		guards: g, total: req.asked.total, now: append(slices.Clone(req.asked.now), row.PulpID()),
	}
	err := guard.Permit(ctx, &inner)
	if err == nil {
		return nil
	}
	for _, kind := range []pulperr.Kind{
		pulperr.Forbidden, pulperr.Unauthorized, pulperr.TooMany, pulperr.Unavailable,
	} {
		if pulperr.KindOf(err) == kind {
			return err
		}
	}
	// The kind of the fault is hidden: NotFound, for example, would mean that the path does not exist.
	return fmt.Errorf("content: guard %q: %w: %w", name, pulperr.Internal, err)
}

// another asks a further guard about the request.
func (a *asked) another(ctx context.Context, req *Request, id uuid.UUID) error {
	if slices.Contains(a.now, id) {
		return fmt.Errorf("content: guard %s asks itself by way of others; take it out of one of them: %w", id,
			pulperr.Internal)
	}
	if a.total.Add(1) >= maxAsked {
		return fmt.Errorf("content: a request needs more than %d guards; combine fewer: %w", maxAsked, pulperr.Internal)
	}
	row, err := models.Cast(ctx, req.DB, models.ContentGuardMaster, id)
	if errors.Is(err, pulperr.NotFound) {
		return fmt.Errorf("content: guard %s does not exist any more: %w", id, pulperr.Internal)
	}
	if err != nil {
		return err
	}
	guard, ok := row.(models.AnyContentGuard)
	if !ok {
		return fmt.Errorf("content: %T is no content guard: %w", row, pulperr.Internal)
	}
	return a.guards.ask(ctx, req, guard)
}

// Ask asks another content guard about the request, for guards that combine others. It is for [Guard.Permit] only.
//
// Errors: those of that guard, see [Guard]; Internal if the guard does not exist, if it waits for this answer itself,
// or if the request has needed 100 guards.
func (r *Request) Ask(ctx context.Context, guardID uuid.UUID) error {
	if r.asked == nil {
		return fmt.Errorf("content: Request.Ask was called outside of Permit; use App.Guarded: %w", pulperr.Internal)
	}
	return r.asked.another(ctx, r, guardID)
}

// Authorize asks the host whether a guard permits the request, see Options.Authorize. It is for guards that leave the
// decision to the host.
func (r *Request) Authorize(ctx context.Context, guard models.AnyContentGuard) error {
	return r.App.authorize(ctx, r, guard)
}

// Guarded finds the distribution of a path, asks its content guard about r, and returns the request as hooks get it:
// with the distribution and what it serves. Routes of plugins call it before they answer with anything that belongs to
// a distribution, and pass its error to [App.WriteError]. The path begins with a base path, "name" or "name/dir/file",
// and has no slash at either end.
//
// Errors: NotFound if no distribution has the path; those of the guard, see [Guard].
func (a *App) Guarded(r *http.Request, path string) (*Request, error) { return a.site.guarded(r, path) }

// WriteError answers with an error as the content app does: by its kind, with its public text. Call it before anything
// was written.
func (a *App) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	writeError(a.site.log, w, r, err)
}
