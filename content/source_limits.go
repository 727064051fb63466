package content

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
)

// Limits of the waits for one source.
const (
	maxGateWait   = 30 * time.Second
	fallbackAfter = 10 * time.Second // for the header, if another source can be asked
)

// sourceLimits are how long one source may take to begin its answer while another source could be asked.
type sourceLimits struct {
	last    bool          // there is no other source
	silence time.Duration // the remote's own limit

	timer *time.Timer
}

// start returns the context for the download. It ends if the source is asked and does not answer in time.
func (l *sourceLimits) start(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.timer = time.AfterFunc(fallbackAfter, func() { cancel(&silentError{fallbackAfter}) })
	// The time counts from asked on: waits for a connection and for a place are not the source's fault.
	l.timer.Stop()
	return ctx, func() {
		l.timer.Stop()
		cancel(nil)
	}
}

func (l *sourceLimits) asked() {
	if !l.last {
		l.timer.Reset(fallbackAfter)
	}
}

func (l *sourceLimits) answered() { l.timer.Stop() }

// maxWait is the longest wait for one of the remote's connections.
func (l *sourceLimits) maxWait() time.Duration {
	if l.last {
		return l.silence
	}
	// The downloads that hold the connections of a silent remote take about this time. After it another source is faster.
	return min(l.silence, fallbackAfter)
}

func readTimeout(r *models.Remote) time.Duration {
	if r.SockReadTimeout == nil || *r.SockReadTimeout <= 0 {
		return download.DefaultSockReadTimeout
	}
	return time.Duration(*r.SockReadTimeout * float64(time.Second))
}
