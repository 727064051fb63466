package transport

import (
	"context"
	"sync"
)

// localBuffer is how many messages of a queue wait for a consumer at most. The poller finds the tasks of the others.
const localBuffer = 1024

// local is a transport within one process. It has no goroutine but those of its consumers.
type local struct {
	mu     sync.Mutex
	queues map[string]chan Message
}

// NewLocal returns a transport for an installation of one process. It reaches no other process, and drops messages
// while 1024 wait: see [Transport.Polls].
func NewLocal() Transport { return &local{queues: map[string]chan Message{}} }

// queue returns the channel of a queue.
func (l *local) queue(name string) chan Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch, ok := l.queues[name]
	if !ok {
		ch = make(chan Message, localBuffer)
		l.queues[name] = ch
	}
	return ch
}

// Announce implements [Transport].
func (l *local) Announce(_ context.Context, list []Message) (int, error) {
	for _, m := range list {
		select {
		case l.queue(m.Queue) <- m:
		default: // the poller finds the task
		}
	}
	return len(list), nil
}

// Consume implements [Transport]. A message whose handler fails is dropped: the poller repeats it.
func (l *local) Consume(queue string, slots int, handle func(Message) error) Consumer {
	c := &localConsumer{quit: make(chan struct{})}
	messages := l.queue(queue)
	for range slots {
		c.slots.Go(func() {
			for {
				select { // a message that waits does not keep a consumer from stopping
				case <-c.quit:
					return
				default:
				}
				select {
				case m := <-messages:
					_ = handle(m)
				case <-c.quit:
					return
				}
			}
		})
	}
	return c
}

// localConsumer is the consumer of a local transport.
type localConsumer struct {
	quit  chan struct{}
	slots sync.WaitGroup
}

// Stop implements [Consumer].
func (c *localConsumer) Stop() { close(c.quit) }

// Close implements [Consumer].
func (c *localConsumer) Close() { c.slots.Wait() }

// Wake implements [Transport]. Consumers wait for their channel.
func (l *local) Wake() {}

// Publish implements [Transport]. There is no other process.
func (l *local) Publish(context.Context, Notice) error { return nil }

// Subscribe implements [Transport].
func (l *local) Subscribe(ctx context.Context, _ func(Notice)) { <-ctx.Done() }

// Polls implements [Transport]: nothing repeats a message that was dropped.
func (l *local) Polls() bool { return true }

// Close implements [Transport].
func (l *local) Close() error { return nil }
