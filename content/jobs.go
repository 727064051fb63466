package content

import (
	"context"
	"sync"
)

// jobs are goroutines that outlive the requests which started them, such as fetches. None outlives the App.
type jobs struct {
	mu      sync.Mutex
	closed  bool
	live    map[*job]struct{} // jobs that have not ended
	running sync.WaitGroup
}

// job is one of them.
type job struct {
	cancel context.CancelCauseFunc
	ended  chan struct{}
}

func newJobs() *jobs { return &jobs{live: map[*job]struct{}{}} }

// start runs fn in a goroutine, with a context that has the values of ctx and not its end, and returns how it is
// canceled.
//
// Errors: Unavailable once the App is being closed.
func (j *jobs) start(ctx context.Context, fn func(ctx context.Context)) (cancel context.CancelCauseFunc, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, errClosed
	}
	ctx, cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	one := &job{cancel: cancel, ended: make(chan struct{})}
	j.live[one] = struct{}{}
	// Under the lock of close, so that no job starts after Wait has begun.
	j.running.Go(func() {
		// Deferred, because a hook of a plugin may end the goroutine by runtime.Goexit.
		defer func() {
			cancel(nil)
			j.mu.Lock()
			delete(j.live, one)
			j.mu.Unlock()
			close(one.ended)
		}()
		fn(ctx)
	})
	return cancel, nil
}

// close cancels all jobs, waits for them and refuses new ones.
func (j *jobs) close() {
	j.mu.Lock()
	j.closed = true
	for one := range j.live {
		one.cancel(errClosed)
	}
	j.mu.Unlock()
	// Without the lock, which each job needs for its end.
	j.running.Wait()
}

// drain refuses new jobs and waits for the running ones, until ctx is done.
func (j *jobs) drain(ctx context.Context) error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last job, which close cuts short
		defer close(done)
		j.running.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// idle waits until no job runs, or until ctx is done. It waits for jobs that begin during the call, too.
func (j *jobs) idle(ctx context.Context) error {
	for {
		// Not running.Wait, because new jobs may begin here, and a WaitGroup must not go up from zero during Wait.
		one := j.anyLive()
		if one == nil {
			return nil
		}
		select {
		case <-one.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// anyLive returns a job that has not ended, or nil.
func (j *jobs) anyLive() *job {
	j.mu.Lock()
	defer j.mu.Unlock()
	for one := range j.live {
		return one
	}
	return nil
}
