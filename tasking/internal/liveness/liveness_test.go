package liveness

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestObserver(t *testing.T) {
	t.Parallel()
	const ttl = 30 * time.Second
	type look struct {
		pause, took time.Duration // before it, and by it
		beat        int64
	}
	s := func(n int) time.Duration { return time.Duration(n) * time.Second }
	for name, tt := range map[string]struct {
		looks []look
		want  int // the first look that takes the worker for dead, counted from 0; -1 is none
	}{
		"silent": {[]look{{}, {s(10), 0, 0}, {s(10), 0, 0}, {s(10), 0, 0}, {s(10), 0, 0}}, 4},
		"alive":  {[]look{{}, {s(10), 0, 1}, {s(10), 0, 1}, {s(10), 0, 2}, {s(10), 0, 3}, {s(10), 0, 3}}, -1},
		"short pauses": {[]look{
			{}, {s(5), 0, 0}, {s(5), 0, 0}, {s(5), 0, 0}, {s(5), 0, 0}, {s(5), 0, 0}, {s(5), 0, 0},
		}, 6},
		"the observer sleeps":          {[]look{{}, {s(10), 0, 0}, {s(600), 0, 0}, {s(10), 0, 0}}, -1},
		"it sleeps, and one is dead":   {[]look{{}, {s(10), 0, 0}, {s(600), 0, 0}, {s(10), 0, 0}, {s(10), 0, 0}}, 4},
		"the database stalls":          {[]look{{}, {s(10), s(600), 0}, {s(10), 0, 0}, {s(10), 0, 0}}, -1},
		"the database stalls at first": {[]look{{0, s(600), 0}, {s(10), s(600), 0}, {s(10), s(600), 0}}, -1},
		"a heartbeat after a long sleep": {[]look{
			{}, {s(10), 0, 0}, {s(10), 0, 0}, {s(600), 0, 0}, {s(2), 0, 1}, {s(10), 0, 1}, {s(10), 0, 1}, {s(10), 0, 1},
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o, id, dead := new(Observer), uuid.New(), -1
				for i, l := range tt.looks {
					<-time.After(l.pause)
					o.Begin()
					<-time.After(l.took)
					if o.Expired(id, l.beat, ttl) && dead < 0 {
						dead = i
					}
					o.End()
				}
				if dead != tt.want {
					t.Errorf("dead at look %d, want %d", dead, tt.want)
				}
			})
		})
	}
}

func TestObserverForgetsWhoIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, id := new(Observer), uuid.New()
		for i := range 12 {
			o.Begin()
			if i%3 < 2 && o.Expired(id, 0, 2*time.Second) {
				t.Errorf("dead at look %d", i)
			}
			o.End()
			<-time.After(time.Second)
		}
	})
}
