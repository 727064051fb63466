// Package login bounds what log-ins with a password cost: [Turns] limit how many are verified at a time, [Failures]
// slow down guesses, and [Known] remembers verified credentials.
package login

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pulpgo/pulpcore/pulperr"
)

// ErrFull is the error of [Turns.Enter] for one more than may wait.
var ErrFull = fmt.Errorf("login: %w",
	pulperr.Public(pulperr.Unavailable, "Too many log-ins are being checked; try again in a moment."))

// How many may wait for their turn.
const (
	maxWaiting          = 128
	maxWaitingForSource = 32
	maxWaitingForName   = 8 // of one source
)

// Turns limit an expensive operation to a few callers at a time. The others wait, and get their turns fairly: the
// sources one after the other, and of one source the names one after the other.
type Turns struct {
	mu      sync.Mutex
	free    int
	served  uint64 // turns given so far
	sources map[string]*visits
	waiting []*visitor // in the order in which they came
}

// visits are the turns of a source. They are kept while a caller of the source waits.
type visits struct {
	waiting int
	last    uint64            // the turn it had last; 0 if none
	names   map[string]uint64 // the same, by name
}

type visitor struct {
	source, name string
	turn         chan struct{} // closed when its turn comes
}

// NewTurns returns turns for n callers at a time.
func NewTurns(n int) *Turns { return &Turns{free: n, sources: map[string]*visits{}} }

// Enter returns when it is the caller's turn, who ends it by calling leave.
//
// Errors: [ErrFull] at once; what ended ctx.
func (t *Turns) Enter(ctx context.Context, source, name string) (leave func(), err error) {
	v, err := t.queue(source, name)
	if err != nil {
		return nil, err
	}
	select {
	case <-v.turn:
		// A caller may leave early and defer leave, too; the second call must not free a second turn.
		return sync.OnceFunc(t.leave), nil
	case <-ctx.Done():
		t.abandon(v)
		return nil, context.Cause(ctx)
	}
}

func (t *Turns) queue(source, name string) (*visitor, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := &visitor{source: source, name: name, turn: make(chan struct{})}
	// A turn is free only while no caller waits, because next hands a turn on to a waiting one.
	if t.free > 0 {
		t.free--
		close(v.turn)
		return v, nil
	}
	s := t.sources[source]
	if s == nil {
		s = &visits{names: map[string]uint64{}}
	}
	same := 0
	for _, w := range t.waiting {
		if w.source == source && w.name == name {
			same++
		}
	}
	if len(t.waiting) >= maxWaiting || s.waiting >= maxWaitingForSource || same >= maxWaitingForName {
		return nil, ErrFull
	}
	// Only now: the entry of a refused caller would never be removed.
	t.sources[source] = s
	s.waiting++
	t.waiting = append(t.waiting, v)
	return v, nil
}

func (t *Turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// next gives the free turn to the source whose last turn is longest ago, and of it to the name whose last turn is
// longest ago; among equals the caller that has waited longest.
func (t *Turns) next() {
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	// A search of all that wait is cheap, because maxWaiting bounds them.
	first := 0
	for i, v := range t.waiting[1:] {
		if t.before(v, t.waiting[first]) {
			first = i + 1
		}
	}
	v := t.waiting[first]
	t.served++
	s := t.sources[v.source]
	s.last, s.names[v.name] = t.served, t.served
	t.remove(first)
	close(v.turn)
}

func (t *Turns) before(v, than *visitor) bool {
	a, b := t.sources[v.source], t.sources[than.source]
	if a != b {
		return a.last < b.last
	}
	return a.names[v.name] < a.names[than.name]
}

func (t *Turns) remove(i int) {
	v := t.waiting[i]
	t.waiting = slices.Delete(t.waiting, i, i+1)
	s := t.sources[v.source]
	// Otherwise each address that ever logged in would stay in memory.
	if s.waiting--; s.waiting == 0 {
		delete(t.sources, v.source)
	}
}

// abandon removes a caller that waits no longer.
func (t *Turns) abandon(v *visitor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, v); i >= 0 {
		t.remove(i)
		return
	}
	// The caller got its turn just as its context ended, and will not leave: the turn goes to the next one.
	t.next()
}
