package browsertest

import (
	"context"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"

	"github.com/pulpgo/pulpcore"
)

// chromiumEnv names the program to test with.
const chromiumEnv = "PULP_TEST_CHROMIUM"

// chromium returns the path of the browser, or skips.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(chromiumEnv); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	fmt.Fprintf(os.Stderr, "\n!!!! LEFT OUT: the task page in a browser (no Chromium; set %s)\n\n", chromiumEnv)
	t.Skipf("there is no Chromium and %s is not set", chromiumEnv)
	return ""
}

// browser is a tab in a browser of its own.
type browser struct {
	t       *testing.T
	ctx     context.Context
	prompts atomic.Int32 // how often it asked for the password
}

// patience is how long anything on the page may take.
const patience = 30 * time.Second

func open(t *testing.T) *browser {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true))
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), opts...)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	b := &browser{t: t, ctx: ctx}
	var listeners sync.WaitGroup
	t.Cleanup(func() {
		closeTab()
		stop()
		listeners.Wait()
	})
	must(t, chromedp.Do(ctx)) // starts it, to live as long as this context
	asked, paused := chromedp.Events(ctx, fetch.AuthRequired), chromedp.Events(ctx, fetch.RequestPaused)
	listeners.Go(func() { b.logIn(asked) })
	listeners.Go(func() { b.pass(paused) })
	_, err := chromedp.Call(ctx, fetch.Enable, fetch.EnableParams{HandleAuthRequests: new(true)})
	must(t, err)
	b.do("size", chromedp.EmulateViewport(1280, 1150))
	return b
}

// logIn does what a user does who is asked for a password.
func (b *browser) logIn(asked iter.Seq2[fetch.EventAuthRequired, error]) {
	for e, err := range asked {
		if err != nil {
			return
		}
		b.prompts.Add(1)
		_, _ = chromedp.Call(b.ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{
			RequestID: e.RequestID, AuthChallengeResponse: &fetch.AuthChallengeResponse{
				Response: fetch.AuthChallengeResponseResponseProvideCredentials,
				Username: pulpcore.AdminName, Password: password,
			},
		})
	}
}

// pass lets every request go on: those that may ask for a password wait for it.
func (b *browser) pass(paused iter.Seq2[fetch.EventRequestPaused, error]) {
	for e, err := range paused {
		if err != nil {
			return
		}
		_, _ = chromedp.Call(b.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: e.RequestID})
	}
}

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.fail(what, err)
	}
}

// value returns what a step has.
func value[T any](b *browser, what string, step chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, step)
	if err != nil {
		b.fail(what, err)
	}
	return v
}

// fail ends the test with what is on the page.
func (b *browser) fail(what string, err error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	html, _ := chromedp.Run(ctx, chromedp.OuterHTML(chromedp.CSS("body")))
	b.t.Fatalf("%s: %v; the page is\n%s", what, err, html)
}

// until waits until a JavaScript expression is true, whatever is loaded meanwhile.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.fail(what+": "+expression, err)
		}
	}
}

func (b *browser) dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	must(b.t, err)
}
