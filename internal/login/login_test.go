package login_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/internal/login"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue lets callers wait one after the other, and returns the order in which they had their turns.
func queue(t *testing.T, turns *login.Turns, who ...[2]string) (order func() []string) {
	t.Helper()
	got := make(chan string, len(who))
	for _, w := range who {
		go func() {
			leave, err := turns.Enter(t.Context(), w[0], w[1])
			if err != nil {
				got <- err.Error()
				return
			}
			got <- w[0] + "/" + w[1]
			leave()
			leave() // once is enough, and twice no harm
		}()
		synctest.Wait()
	}
	return func() (list []string) {
		for range who {
			list = append(list, <-got)
		}
		return list
	}
}

func TestTurnsAreFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := login.NewTurns(1)
		leave, err := turns.Enter(t.Context(), "first", "x")
		if err != nil {
			t.Fatal(err)
		}
		order := queue(t, turns, [2]string{"many", "a"}, [2]string{"many", "a"}, [2]string{"many", "a"},
			[2]string{"many", "b"}, [2]string{"one", "z"}, [2]string{"other", "a"}, [2]string{"many", "b"})
		leave()
		want := []string{"many/a", "one/z", "other/a", "many/b", "many/a", "many/b", "many/a"}
		if got := order(); !slices.Equal(got, want) {
			t.Errorf("turns were %v, want %v", got, want)
		}
	})
}

func TestTurnsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := login.NewTurns(1)
		leave, err := turns.Enter(t.Context(), "first", "x")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		ended := make(chan error, 200)
		wait := func(source, name string) {
			go func() {
				_, err := turns.Enter(ctx, source, name)
				ended <- err
			}()
			synctest.Wait()
		}
		full := func(source, name string) {
			t.Helper()
			if _, err := turns.Enter(ctx, source, name); !errors.Is(err, login.ErrFull) || pulperr.KindOf(err) != pulperr.Unavailable {
				t.Errorf("Enter of %s at %s = %v, want ErrFull", name, source, err)
			}
		}
		for range 8 {
			wait("s0", "a")
		}
		full("s0", "a")
		for i := range 24 {
			wait("s0", fmt.Sprint("name ", i))
		}
		full("s0", "one more")
		for i := range 96 {
			wait(fmt.Sprint("s", i/32+1), fmt.Sprint("name ", i))
		}
		full("s9", "one more")
		cancel(gone)
		for range 128 {
			if err := <-ended; !errors.Is(err, gone) {
				t.Errorf("Enter = %v, want the cause of the context", err)
			}
		}
		leave()
		if leave, err = turns.Enter(t.Context(), "s0", "a"); err != nil { // nothing of it is left
			t.Fatal(err)
		}
		leave()
	})
}

// A turn that is given to somebody who leaves in the same moment is not lost.
func TestTurnOfTheAbsent(t *testing.T) {
	t.Parallel()
	for range 200 {
		turns := login.NewTurns(1)
		leave, err := turns.Enter(t.Context(), "a", "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if leave, err := turns.Enter(ctx, "b", "b"); err == nil {
				leave()
			}
		}()
		go cancel()
		leave()
		<-ended
		leave, err = turns.Enter(t.Context(), "c", "c")
		if err != nil {
			t.Fatal(err)
		}
		leave()
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := login.NewFailures()
		blocked := func() time.Duration {
			err := f.Check("here", "admin")
			if err == nil {
				return 0
			}
			b, ok := errors.AsType[*login.Blocked](err)
			if !ok || pulperr.KindOf(err) != pulperr.TooMany {
				t.Fatalf("Check = %v, want Blocked of kind TooMany", err)
			}
			return b.Wait
		}
		var waits []time.Duration
		for range 13 {
			f.Add("here", "admin")
			wait := blocked()
			waits = append(waits, wait/time.Second)
			time.Sleep(wait)
			if blocked() != 0 {
				t.Fatalf("still blocked after %s", wait)
			}
		}
		if want := []time.Duration{0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60}; !slices.Equal(waits, want) {
			t.Errorf("seconds blocked after each failure: %v, want %v", waits, want)
		}
		f.Add("here", "admin")
		if f.Check("elsewhere", "admin") != nil || f.Check("here", "another") != nil || f.Check("hereadmin", "") != nil {
			t.Error("others are blocked too")
		}
		f.Forget("here", "admin")
		if blocked() != 0 {
			t.Error("blocked after a success")
		}
		for range 6 {
			f.Add("here", "admin")
		}
		time.Sleep(16 * time.Minute)
		if f.Add("here", "admin"); blocked() != 0 {
			t.Error("old failures are not forgotten")
		}
		for i := range 20_000 { // more than are remembered
			f.Add("everywhere", fmt.Sprint(i))
		}
	})
}

func TestKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := login.NewKnown[string]()
		want := func(user string, fresh, ok bool) {
			t.Helper()
			u, f, o := k.Recall("admin", "secret")
			if u != user || f != fresh || o != ok {
				t.Errorf("Recall = %q, %v, %v; want %q, %v, %v", u, f, o, user, fresh, ok)
			}
		}
		want("", false, false)
		k.Remember("admin", "secret", "first")
		want("first", true, true)
		for _, other := range [][2]string{{"admin", "secre"}, {"admins", "ecret"}, {"", "adminsecret"}} {
			if _, _, ok := k.Recall(other[0], other[1]); ok {
				t.Errorf("%q are known", other)
			}
		}
		time.Sleep(login.FreshFor)
		want("first", false, true)
		k.Refresh("admin", "secret", "again")
		want("again", true, true)
		for range 14 { // used, it lives on
			time.Sleep(4 * time.Minute)
			want("again", false, true)
		}
		time.Sleep(5 * time.Minute) // but not for ever
		want("", false, false)
		k.Refresh("admin", "secret", "late")
		want("", false, false)
		k.Remember("admin", "secret", "second")
		time.Sleep(5*time.Minute + 1) // unused
		want("", false, false)
		k.Remember("admin", "secret", "third")
		k.Forget("admin", "secret")
		want("", false, false)
	})
}
