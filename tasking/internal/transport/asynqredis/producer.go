package asynqredis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// producer sends messages to asynq.
type producer struct {
	conn *connection

	mu    sync.Mutex
	asynq *asynq.Client // nil until first used, and after Redis lost its data
	token string        // that Redis had when it was asked last
}

// messageType is the type of all asynq tasks.
const messageType = "task"

const (
	// noTimeout keeps asynq from ending a task: it would give up the message, and the function would go on running.
	noTimeout = 10 * 365 * 24 * time.Hour
	// neverArchive keeps asynq from archiving a message that was put back often.
	neverArchive = 1 << 20
)

// client returns asynq's client.
func (p *producer) client() (*asynq.Client, error) {
	client, err := p.conn.get()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asynq == nil {
		p.asynq = asynq.NewClientFromRedisClient(newPipeline(client))
	}
	return p.asynq, nil
}

// sawToken makes a new client of asynq where Redis has another token than before: asynq's client remembers which queues
// are registered in Redis, also after Redis has lost them.
func (p *producer) sawToken(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if token != p.token {
		p.token, p.asynq = token, nil
	}
}

// send hands a message to asynq and reports false if asynq has it already.
func (p *producer) send(ctx context.Context, m transport.Message) (isNew bool, err error) {
	client, err := p.client()
	if err != nil {
		return false, err
	}
	_, err = client.EnqueueContext(ctx, asynq.NewTask(messageType, payloadOf(m)), asynq.TaskID(messageID(m)),
		asynq.Queue(p.conn.queue(m.Queue)), asynq.MaxRetry(neverArchive), asynq.Timeout(noTimeout))
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("tasking: enqueue: %w", err)
	}
	return true, nil
}

// sendAll sends messages within the budget and returns how many it sent. A Redis that took some of them and then ran
// out of time is slow, not down.
func (p *producer) sendAll(ctx context.Context, messages []transport.Message) (sent int, err error) {
	deadline := time.Now().Add(transport.Budget)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for _, m := range messages {
		_, err := p.send(ctx, m)
		switch {
		case err == nil:
			p.conn.health.answered()
			sent++
		case sent > 0 && !time.Now().Before(deadline): // the context of a shared batch may end before this one
			return sent, nil
		default:
			p.conn.health.failed()
			return sent, err
		}
	}
	return sent, nil
}

// state returns the state of a message that asynq refused to take again.
func (p *producer) state(m transport.Message) transport.MessageState {
	client, err := p.conn.get()
	if err != nil {
		// The transport is closed: the relay must not replace a message of which it knows no state.
		return transport.Queued
	}
	info, err := asynq.NewInspectorFromRedisClient(client).GetTaskInfo(p.conn.queue(m.Queue), messageID(m))
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		return transport.Lost
	// An answer that did not come is no proof that the message is gone: the relay would send a second one for nothing.
	case err != nil:
		return transport.Queued
	}
	switch info.State {
	case asynq.TaskStateActive:
		return transport.Taken
	case asynq.TaskStatePending, asynq.TaskStateScheduled, asynq.TaskStateRetry:
		return transport.Queued
	}
	return transport.Lost // archived, or completed
}

// messageID identifies a message, so that asynq has it once.
func messageID(m transport.Message) string { return m.ID.String() + "." + strconv.Itoa(m.Gen) }

// payloadOf is what asynq carries: the task's id and, behind it, the versions of plugins that it needs, if any.
func payloadOf(m transport.Message) []byte {
	payload := m.ID[:]
	if m.Versions != nil {
		payload = append(payload[:len(payload):len(payload)], *m.Versions...)
	}
	return payload
}

// parseMessage returns the message of a queue that has a payload of [payloadOf] and an id of [messageID].
func parseMessage(queue, id string, payload []byte) (m transport.Message, err error) {
	m.Queue = queue
	n := min(len(payload), len(m.ID))
	if m.ID, err = uuid.FromBytes(payload[:n]); err != nil {
		return m, err
	}
	if len(payload) > n {
		m.Versions = new(string(payload[n:]))
	}
	gen, ok := strings.CutPrefix(id, m.ID.String()+".")
	if !ok {
		return m, fmt.Errorf("message id %q is not that of task %s", id, m.ID)
	}
	m.Gen, err = strconv.Atoi(gen)
	return m, err
}
