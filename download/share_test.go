package download_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/pulpgo/pulpcore/download"
)

func TestShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := download.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		calls, hold := 0, make(chan struct{})
		values := make(chan any, 10)
		for range 10 {
			go func() {
				v, err := c.Share(t.Context(), "k", func(context.Context) (any, error) { calls++; <-hold; return "v", nil })
				if err != nil {
					t.Errorf("Share = %v", err)
				}
				values <- v
			}()
		}
		synctest.Wait()
		if other, err := c.Share(t.Context(), "other", func(context.Context) (any, error) { return 1, nil }); other != 1 {
			t.Errorf("Share with another key = %v, %v", other, err)
		}
		close(hold)
		for range 10 {
			if v := <-values; v != "v" {
				t.Errorf("Share = %v, want v", v)
			}
		}
		if calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
	})
}

// Those who wait for a call that fails, is canceled or panics do their own work.
func TestShareAfterFailure(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"fails", "panics"} {
		synctest.Test(t, func(t *testing.T) {
			c, err := download.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			hold := make(chan struct{})
			go func() {
				defer func() { _ = recover() }()
				_, err := c.Share(t.Context(), "k", func(context.Context) (any, error) {
					<-hold
					if how == "panics" {
						panic(how)
					}
					return nil, errors.New(how)
				})
				if err == nil {
					t.Error("the first Share did not fail")
				}
			}()
			synctest.Wait()
			gone, leave := context.WithCancelCause(t.Context())
			go func() {
				if _, err := c.Share(gone, "k", nil); !errors.Is(err, context.Canceled) {
					t.Errorf("Share of a canceled caller = %v", err)
				}
			}()
			second := make(chan any)
			go func() {
				v, _ := c.Share(t.Context(), "k", func(context.Context) (any, error) { return "own", nil })
				second <- v
			}()
			synctest.Wait()
			leave(context.Canceled)
			synctest.Wait()
			close(hold)
			if v := <-second; v != "own" {
				t.Errorf("second Share = %v, want own", v)
			}
		})
	}
}
