// Package transporttest holds the tests that every transport passes.
package transporttest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// Queue is the queue that the tests use.
const Queue = "default"

// Harness opens the transports of one test. Each call of Open is another process of the same installation; a transport
// for one process returns the same one each time. The harness closes them when the test ends.
type Harness interface {
	Open() transport.Transport
}

// Tasks are the ready tasks in the place of the database. A transport that reads ready tasks itself reads them here.
// It is safe for concurrent use.
type Tasks struct {
	mu   sync.Mutex
	list []transport.Message
}

// Ready returns the ready tasks of a queue, the oldest first.
func (d *Tasks) Ready(_ context.Context, queue string) iter.Seq2[transport.Message, error] {
	d.mu.Lock()
	list := slices.Clone(d.list)
	d.mu.Unlock()
	return func(yield func(transport.Message, error) bool) {
		for _, m := range list {
			if m.Queue == queue && !yield(m, nil) {
				return
			}
		}
	}
}

// add makes new tasks ready.
func (d *Tasks) add(n int) []transport.Message {
	var added []transport.Message
	for i := range n {
		m := transport.Message{ID: uuid.New(), Queue: Queue, Gen: i % 3}
		if i%2 == 1 {
			m.Versions = new(fmt.Sprintf(`{"plugin":"%d"}`, i))
		}
		added = append(added, m)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, added...)
	return added
}

// claim takes a task off the ready ones, as a worker does, and reports whether it was there.
func (d *Tasks) claim(m transport.Message) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.list)
	d.list = slices.DeleteFunc(d.list, func(other transport.Message) bool { return other.ID == m.ID })
	return len(d.list) < before
}

// Run runs the tests. newHarness makes a transport for each of them, with no messages in it and the ready tasks given.
func Run(t *testing.T, newHarness func(t *testing.T, tasks *Tasks) Harness) {
	for name, test := range map[string]func(t *testing.T, f *fixture){
		"messages reach a consumer in their order":      testOrder,
		"messages reach the consumer of their queue":    testQueues,
		"a message comes once":                          testOnce,
		"a message that is put back comes again":        testPutBack,
		"slots are not exceeded":                        testSlots,
		"a stopped consumer takes nothing":              testStop,
		"closing a consumer waits for its handlers":     testClose,
		"announcing does not wait for a consumer":       testAnnounceWithoutConsumer,
		"idle consumers are woken":                      testWake,
		"consumers share the messages":                  testShared,
		"a closed transport fails and does not panic":   testClosedTransport,
		"a working transport is not down":               testWorks,
		"notices reach the other processes":             testNotices,
		"a retained message is found again":             testRetained,
		"the token is there until the data is lost":     testToken,
		"offered messages reach consumers without news": testOffer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tasks := &Tasks{}
			test(t, &fixture{T: t, Tasks: tasks, harness: newHarness(t, tasks), got: make(chan transport.Message, 1000)})
		})
	}
}

// fixture is what a test needs.
type fixture struct {
	*testing.T
	*Tasks
	harness Harness
	got     chan transport.Message // messages that a handler of take got first
}

// timeout is how long a test waits for what has to happen.
const timeout = 20 * time.Second

// quiet is how long a test waits for what must not happen. It is longer than a consumer's poll.
const quiet = 600 * time.Millisecond

// consume starts a consumer that ends with the test.
func (f *fixture) consume(tr transport.Transport, queue string, slots int, handle transport.Handler) (stop func()) {
	c := tr.Consume(queue, slots, handle)
	stop = sync.OnceFunc(func() {
		c.Stop()
		c.Close()
	})
	f.Cleanup(stop)
	return stop
}

// take claims the task of a message and passes it on.
func (f *fixture) take(m transport.Message) *transport.Later {
	if f.claim(m) {
		f.got <- m
	}
	return nil
}

func (f *fixture) announce(tr transport.Transport, list []transport.Message) {
	f.Helper()
	// A machine under load takes some of the messages within the budget, or none.
	for deadline := time.Now().Add(20 * time.Second); len(list) > 0; {
		sent, err := tr.Announce(f.Context(), list)
		if sent < 0 || sent > len(list) || sent == 0 && err == nil {
			f.Fatalf("Announce() of %d messages = %d, %v", len(list), sent, err)
		}
		list = list[sent:]
		if err != nil && time.Now().After(deadline) {
			f.Fatalf("Announce() = %v, with %d messages left", err, len(list))
		}
		if err != nil {
			<-time.After(transport.RetryAfter)
		}
	}
}

// next returns the next message that a handler got.
func (f *fixture) next() transport.Message {
	f.Helper()
	select {
	case m := <-f.got:
		return m
	case <-time.After(timeout):
		f.Fatal("a message did not come")
		return transport.Message{}
	}
}

// nothing fails the test if a handler gets a message.
func (f *fixture) nothing() {
	f.Helper()
	select {
	case m := <-f.got:
		f.Errorf("message %+v came", m)
	case <-time.After(quiet):
	}
}

func isSame(a, b transport.Message) bool {
	versions := func(m transport.Message) string {
		if m.Versions == nil {
			return "none"
		}
		return *m.Versions
	}
	return a.ID == b.ID && a.Gen == b.Gen && a.Queue == b.Queue && versions(a) == versions(b)
}

func testOrder(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	list := f.add(5)
	f.announce(tr, list)
	f.consume(tr, Queue, 1, f.take)
	for _, want := range list {
		if got := f.next(); !isSame(got, want) {
			t.Errorf("message = %+v, want %+v", got, want)
		}
	}
}

func testQueues(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	f.consume(tr, "other", 1, f.take)
	list := f.add(1)
	f.announce(tr, list)
	f.nothing()
	f.consume(tr, Queue, 1, f.take)
	if got := f.next(); !isSame(got, list[0]) {
		t.Errorf("message = %+v, want %+v", got, list[0])
	}
}

func testOnce(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	var mu sync.Mutex
	calls := 0
	f.consume(tr, Queue, 4, func(m transport.Message) *transport.Later {
		mu.Lock()
		calls++
		mu.Unlock()
		return f.take(m)
	})
	list := f.add(20)
	f.announce(tr, list)
	for range list {
		f.next()
	}
	f.nothing()
	mu.Lock()
	defer mu.Unlock()
	if calls != len(list) {
		t.Errorf("the handler was called %d times, want %d", calls, len(list))
	}
}

func testPutBack(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	const pause = time.Second
	var mu sync.Mutex
	var first time.Time
	f.consume(tr, Queue, 2, func(m transport.Message) *transport.Later {
		mu.Lock()
		defer mu.Unlock()
		if first.IsZero() {
			first = time.Now()
			return &transport.Later{Pause: pause, Reason: "not yet"}
		}
		return f.take(m)
	})
	list := f.add(1)
	f.announce(tr, list)
	if got := f.next(); !isSame(got, list[0]) {
		t.Errorf("message = %+v, want %+v", got, list[0])
	}
	mu.Lock()
	defer mu.Unlock()
	if pause := time.Since(first); pause < 500*time.Millisecond { // asynq counts in seconds
		t.Errorf("it came again after %v", pause)
	}
}

func testSlots(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	release := make(chan struct{})
	f.consume(tr, Queue, 2, func(m transport.Message) *transport.Later {
		f.take(m)
		<-release
		return nil
	})
	defer close(release)
	f.announce(tr, f.add(4))
	f.next()
	f.next()
	f.nothing()
	release <- struct{}{}
	f.next()
	if t.Failed() {
		return
	}
	f.nothing()
}

func testStop(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	stop := f.consume(tr, Queue, 1, f.take)
	stop()
	list := f.add(1)
	f.announce(tr, list)
	f.nothing()
	f.consume(tr, Queue, 1, f.take)
	if got := f.next(); !isSame(got, list[0]) {
		t.Errorf("the next consumer got %+v, want %+v", got, list[0])
	}
}

func testClose(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	release := make(chan struct{})
	c := tr.Consume(Queue, 1, func(m transport.Message) *transport.Later {
		f.take(m)
		<-release
		return nil
	})
	f.announce(tr, f.add(1))
	f.next()
	c.Stop()
	c.Stop()
	closed := make(chan struct{})
	go func() {
		c.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Error("Close did not wait for the handler")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	select {
	case <-closed:
	case <-time.After(timeout):
		t.Error("Close did not return")
	}
}

func testAnnounceWithoutConsumer(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	began := time.Now()
	list := f.add(3)
	f.announce(tr, list)
	f.announce(tr, list) // which are there already
	if took := time.Since(began); took > 4*transport.Budget+time.Second {
		t.Errorf("two announcements took %v", took)
	}
	f.consume(tr, Queue, 1, f.take)
	for range list {
		f.next()
	}
}

func testWake(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	f.consume(tr, Queue, 1, f.take)
	f.announce(tr, f.add(1)) // opens connections
	f.next()
	var took []time.Duration
	for range 7 {
		list := f.add(1)
		began := time.Now()
		f.announce(tr, list)
		f.next()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 100*time.Millisecond { // a poll would take 125 ms on average
		t.Errorf("a message takes %v, want that an idle consumer is woken", median)
	}
}

func testShared(t *testing.T, f *fixture) {
	one, two := f.harness.Open(), f.harness.Open()
	var mu sync.Mutex
	calls := map[int]int{}
	for i, tr := range []transport.Transport{one, two} {
		f.consume(tr, Queue, 2, func(m transport.Message) *transport.Later {
			mu.Lock()
			calls[i]++
			mu.Unlock()
			return f.take(m)
		})
	}
	list := f.add(50)
	f.announce(one, list)
	for range list {
		f.next()
	}
	f.nothing()
	mu.Lock()
	defer mu.Unlock()
	if calls[0]+calls[1] != len(list) {
		t.Errorf("handlers were called %v times, want %d together", calls, len(list))
	}
}

func testClosedTransport(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if sent, err := tr.Announce(t.Context(), f.add(1)); sent != 0 || err == nil {
		t.Errorf("Announce() = %d, %v, want an error", sent, err)
	}
	if err := tr.Ping(t.Context()); err == nil {
		t.Error("Ping() succeeded")
	}
	if b, ok := tr.(transport.Broadcaster); ok {
		if err := b.Publish(t.Context(), transport.Notice{Topic: transport.Cancel}); err == nil {
			t.Error("Publish() succeeded")
		}
		b.Subscribe(t.Context(), func(n transport.Notice) { t.Errorf("notice %+v came", n) })
	}
	c := tr.Consume("unused", 1, f.take)
	c.Stop()
	c.Close()
}

func testWorks(t *testing.T, f *fixture) {
	tr := f.harness.Open()
	f.announce(tr, f.add(1))
	if err := tr.Ping(t.Context()); err != nil || tr.Down() != 0 {
		t.Errorf("Ping() = %v, Down() = %v", err, tr.Down())
	}
}
