package asynqredis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/tasking/internal/batch"
)

// pipeline is a client that sends the scripts which many goroutines run at the same time in one round trip: asynq has
// no batches of its own. Producers and consumers have one each: a batch ends at the latest deadline of its callers,
// and that of a consumer is later than a dispatch may wait.
type pipeline struct {
	redis.UniversalClient
	scripts batch.Writer[script, *redis.Cmd]
}

// script is one call of EvalSha.
type script struct {
	sha  string
	keys []string
	args []any
}

// maxPipeline is how many scripts go to Redis together at most.
const maxPipeline = 64

func newPipeline(client redis.UniversalClient) *pipeline {
	p := &pipeline{UniversalClient: client}
	p.scripts.Limit, p.scripts.Write = maxPipeline, p.send
	return p
}

// send runs scripts together. Each of them has an error of its own.
func (p *pipeline) send(ctx context.Context, scripts []script) ([]*redis.Cmd, error) {
	results := make([]*redis.Cmd, len(scripts))
	// The error is the one of the first script that failed; each caller has the error of its own command.
	_, _ = p.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, s := range scripts {
			results[i] = pipe.EvalSha(ctx, s.sha, s.keys, s.args...)
		}
		return nil
	})
	return results, nil
}

// EvalSha runs a script. One without a deadline, such as a consumer's request for the next message, is sent alone: a
// batch with it would have no deadline either.
func (p *pipeline) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if _, bounded := ctx.Deadline(); !bounded {
		return p.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	result, err := p.scripts.Do(ctx, script{sha, keys, args})
	if err != nil {
		result = redis.NewCmd(ctx)
		result.SetErr(err)
	}
	return result
}
