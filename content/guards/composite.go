package guards

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/pulperr"
)

// MaxCombined is how many guards a [Composite] may have.
const MaxCombined = 50

// Validate refuses a guard that has itself among its guards. A longer cycle is refused by the API, and for each request
// that meets it.
func (g *Composite) Validate() error {
	if slices.Contains(g.Guards, g.ID) && g.ID != uuid.Nil {
		return pulperr.Field("guards", "A guard cannot be among its own guards.")
	}
	if len(g.Guards) > MaxCombined {
		return pulperr.Field("guards", "Ensure this field has no more than %d elements.", MaxCombined)
	}
	return nil
}

// Combined returns the guards that this one asks, so that the API can refuse cycles.
func (g *Composite) Combined() []uuid.UUID { return g.Guards }

// Permit implements [content.Guard]. The guards are asked in their order until one permits the request. If none does,
// the client gets the reason of each guard. If a guard fails instead of refusing, Permit returns an error of the
// same kind.
func (g *Composite) Permit(ctx context.Context, r *content.Request) error {
	if len(g.Guards) == 0 {
		return nil
	}
	kind, faults := pulperr.Forbidden, []error(nil)
	var reasons []string
	for _, id := range g.Guards {
		err := r.Ask(ctx, id)
		switch found := pulperr.KindOf(err); found {
		case 0:
			return nil
		case pulperr.Forbidden, pulperr.Unauthorized:
			reasons = append(reasons, pulperr.Message(err))
			if found == pulperr.Unauthorized {
				kind = found
			}
		default:
			faults = append(faults, err)
		}
		// The guards behind it would fail for the same reason.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("guards: guard %q: %w", g.Name, errors.Join(faults...))
	}
	return pulperr.Public(kind, "%s", strings.Join(reasons, " "))
}
