package transport

import (
	"context"
	"net"

	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/tasking/internal/batch"
)

// pipelining sends the scripts that many goroutines run at the same time in one round trip: asynq has no batches of its
// own. It is a hook on a connection to Redis.
type pipelining struct {
	scripts batch.Writer[redis.Cmder, struct{}]
}

// maxPipeline is how many scripts go to Redis together at most.
const maxPipeline = 64

// pipelineScripts adds such a hook to client.
func pipelineScripts(client redis.UniversalClient) {
	p := &pipelining{}
	p.scripts.Limit = maxPipeline
	p.scripts.Write = func(ctx context.Context, scripts []redis.Cmder) ([]struct{}, error) {
		_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error { // each script has its own error
			for _, s := range scripts {
				_ = p.Process(ctx, s) // only queues it
			}
			return nil
		})
		return make([]struct{}, len(scripts)), nil
	}
	client.AddHook(p)
}

// DialHook changes nothing.
func (p *pipelining) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook changes nothing.
func (p *pipelining) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook sends scripts together. A request for the next message may be held back, so it is sent alone.
func (p *pipelining) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "evalsha" || isDequeue(cmd) {
			return next(ctx, cmd)
		}
		if _, err := p.scripts.Do(ctx, cmd); err != nil {
			cmd.SetErr(err)
		}
		return cmd.Err()
	}
}
