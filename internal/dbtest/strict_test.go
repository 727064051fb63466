package dbtest

import (
	"runtime"
	"testing"
)

// recorder is a test that only notes how it ends.
type recorder struct {
	testing.TB
	end string
}

func (*recorder) Helper() {}

func (r *recorder) Skip(...any) {
	r.end = "skipped"
	runtime.Goexit()
}

func (r *recorder) Fatal(...any) {
	r.end = "failed"
	runtime.Goexit()
}

// TestMissingServersFailIfStrict hides all servers.
func TestMissingServersFailIfStrict(t *testing.T) {
	for _, env := range []string{"PATH", PostgresEnv, RedisEnv} {
		t.Setenv(env, "")
	}
	for strict, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv(StrictEnv, strict)
		for name, start := range map[string]func(testing.TB){
			"Postgres":      func(tb testing.TB) { Postgres(tb) },
			"RedisURL":      func(tb testing.TB) { RedisURL(tb) },
			"StartRedis":    func(tb testing.TB) { StartRedis(tb) },
			"StartSentinel": func(tb testing.TB) { StartSentinel(tb) },
		} {
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				start(r)
			}()
			<-done
			if r.end != want {
				t.Errorf("%s with %s=%q: the test is %q, want %s", name, StrictEnv, strict, r.end, want)
			}
		}
	}
}
