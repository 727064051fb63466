package transporttest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

func testNotices(t *testing.T, f *fixture) {
	one, ok := f.harness.Open().(transport.Broadcaster)
	if !ok {
		t.Skip("the transport reaches no other process")
	}
	two := f.harness.Open().(transport.Broadcaster)
	notices := make(chan transport.Notice, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var subscribed sync.WaitGroup
	subscribed.Go(func() { two.Subscribe(ctx, func(n transport.Notice) { notices <- n }) })
	next := func() transport.Notice {
		select {
		case n := <-notices:
			return n
		case <-time.After(timeout):
			t.Error("a notice did not come")
			return transport.Notice{}
		}
	}
	if n := next(); n.Topic != transport.Connected {
		t.Errorf("the first notice is %+v, want that the subscription has begun", n)
	}
	for _, want := range []transport.Notice{
		{Topic: transport.Cancel, Payload: "an id"}, {Topic: transport.Events, Payload: `["a list"]`},
	} {
		if err := one.Publish(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != want {
			t.Errorf("notice = %+v, want %+v", got, want)
		}
	}
	cancel()
	subscribed.Wait()
	if err := one.Publish(t.Context(), transport.Notice{Topic: transport.Cancel}); err != nil {
		t.Errorf("Publish() without a subscriber = %v", err)
	}
}

func (f *fixture) retainer() transport.Retainer {
	r, ok := f.harness.Open().(transport.Retainer)
	if !ok {
		f.Skip("the transport keeps no messages")
	}
	return r
}

func testRetained(t *testing.T, f *fixture) {
	tr, m := f.retainer(), f.add(1)[0]
	offer := func(m transport.Message, want bool) {
		t.Helper()
		if isNew, err := tr.Offer(t.Context(), m); err != nil || isNew != want {
			t.Errorf("Offer(generation %d) = %t, %v, want %t", m.Gen, isNew, err, want)
		}
	}
	state := func(want transport.MessageState) {
		t.Helper()
		if got := tr.State(m); got != want {
			t.Errorf("State() = %d, want %d", got, want)
		}
	}
	state(transport.Lost)
	offer(m, true)
	offer(m, false)
	state(transport.Queued)
	later := m
	later.Gen++
	offer(later, true)
	release := make(chan struct{})
	stop := f.consume(tr, Queue, 1, func(m transport.Message) *transport.Later {
		f.got <- m
		<-release
		return nil
	})
	for _, want := range []transport.Message{m, later} {
		if got := f.next(); !isSame(got, want) {
			t.Errorf("message = %+v, want %+v", got, want)
		}
		if got := tr.State(want); got != transport.Taken {
			t.Errorf("State() while it is handled = %d, want %d", got, transport.Taken)
		}
		release <- struct{}{}
	}
	stop()
	state(transport.Lost) // its handler took it away
	offer(m, true)
}

func testOffer(t *testing.T, f *fixture) {
	tr := f.retainer()
	f.consume(tr, Queue, 1, f.take)
	m := f.add(1)[0]
	if isNew, err := tr.Offer(t.Context(), m); !isNew || err != nil {
		t.Fatalf("Offer() = %t, %v", isNew, err)
	}
	if got := f.next(); !isSame(got, m) { // a consumer polls
		t.Errorf("message = %+v, want %+v", got, m)
	}
	m = f.add(1)[0]
	if _, err := tr.Offer(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	tr.Wake(t.Context())
	if got := f.next(); !isSame(got, m) {
		t.Errorf("message after Wake = %+v, want %+v", got, m)
	}
}

func testToken(t *testing.T, f *fixture) {
	one := f.retainer()
	two := f.retainer()
	if token, err := one.Token(t.Context()); token != "" || err != nil {
		t.Errorf("Token() of a new transport = %q, %v", token, err)
	}
	for _, tr := range []transport.Retainer{one, two} {
		if token, err := tr.SetToken(t.Context(), "first"); token != "first" || err != nil {
			t.Errorf("SetToken() = %q, %v", token, err)
		}
	}
	if token, err := two.SetToken(t.Context(), "second"); token != "first" || err != nil {
		t.Errorf("SetToken(another) = %q, %v, want the first one", token, err)
	}
	if token, err := two.Token(t.Context()); token != "first" || err != nil {
		t.Errorf("Token() = %q, %v", token, err)
	}
}
