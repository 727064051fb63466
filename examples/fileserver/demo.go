package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/settings"
)

// phase is one line of the summary.
type phase struct {
	name string
	took time.Duration
}

// demo does the whole job on real files: it serves a folder as an upstream, syncs it into a fresh server, publishes
// and distributes it, downloads every file back through the content app and compares all digests.
func demo(ctx context.Context, out io.Writer, dir string) error {
	b := newBars()
	var phases []phase
	step := func(name string, fn func() error) error {
		start := time.Now()
		if err := fn(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		phases = append(phases, phase{name, time.Since(start)})
		return nil
	}

	var up *upstream
	if err := step("hash", func() (err error) { up, err = openUpstream(ctx, dir, b); return err }); err != nil {
		return err
	}
	defer up.Close()
	fmt.Fprintf(out, "upstream: %s, %d files, %d bytes\n", dir, len(up.entries), up.bytes)

	app, password, remove, err := demoApp(ctx)
	if err != nil {
		return err
	}
	defer remove()

	return withServers(ctx, app, up, func(ctx context.Context, upURL, appURL string) error {
		c := &client{base: appURL, username: "admin", password: password, http: &http.Client{}}
		var base string
		err := step("sync", func() error { return syncFrom(ctx, c, upURL, b, int64(len(up.entries))) })
		if err == nil {
			err = step("publish", func() (err error) { base, err = publishAndDistribute(ctx, c); return err })
		}
		if err == nil {
			err = step("download", func() error { return downloadAll(ctx, appURL+base, up, b) })
		}
		if err != nil {
			return err
		}
		b.wait()
		for _, p := range phases {
			fmt.Fprintf(out, "%-9s %7.2f s\n", p.name, p.took.Seconds())
		}
		fmt.Fprintf(out, "demo: %d files, %d bytes, all digests match\n", len(up.entries), up.bytes)
		return nil
	})
}

// demoApp opens an App below a temporary folder. remove closes it and removes the folder.
func demoApp(ctx context.Context) (app *pulpcore.App, password string, remove func(), err error) {
	data, err := os.MkdirTemp("", "fileserver-demo-")
	if err != nil {
		return nil, "", nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(data)
		}
	}()
	// Neither file nor environment: the demo must not touch an installation of this machine. Lines of the log would break
	// the progress bars, so only warnings are logged.
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", data), settings.Value("LOGGING", map[string]any{
		"root": map[string]any{"level": "WARNING"},
	}))
	if err != nil {
		return nil, "", nil, err
	}
	if app, err = pulpcore.Open(ctx, set, file.Plugin()); err != nil {
		return nil, "", nil, err
	}
	password = rand.Text()
	if err = app.SetAdminPassword(ctx, password); err != nil {
		_ = app.Close()
		return nil, "", nil, err
	}
	// Closed before the folder is removed, because SQLite writes to its files until then.
	return app, password, func() { _ = app.Close(); _ = os.RemoveAll(data) }, nil
}

// withServers runs fn while the upstream and the app serve on free ports of the loopback interface, with workers.
func withServers(ctx context.Context, app *pulpcore.App, up http.Handler,
	fn func(ctx context.Context, upURL, appURL string) error,
) error {
	upListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	appListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = upListener.Close()
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return pulpcore.ServeOn(gctx, upListener, up) })
	group.Go(func() error { return pulpcore.ServeOn(gctx, appListener, app.Handler()) })
	group.Go(func() error { return app.Work(gctx, runtime.GOMAXPROCS(0)) })
	err = fn(gctx, "http://"+upListener.Addr().String(), "http://"+appListener.Addr().String())
	cancel(nil)
	// If a server has failed, that is the reason for the error of fn.
	if werr := group.Wait(); werr != nil {
		return werr
	}
	return err
}

func syncFrom(ctx context.Context, c *client, upstreamURL string, b *bars, total int64) error {
	remote, err := c.call(ctx, http.MethodPost, "remotes/file/file/", object{
		"name": "demo", "url": upstreamURL + "/PULP_MANIFEST", "policy": "immediate",
	})
	if err != nil {
		return err
	}
	_, err = c.call(ctx, http.MethodPost, "repositories/file/file/",
		object{"name": "demo", "remote": remote["pulp_href"]})
	if err != nil {
		return err
	}
	repo, err := c.repository(ctx)
	if err != nil {
		return err
	}
	bar := b.add("syncing", total)
	defer bar.done()
	_, err = c.run(ctx, http.MethodPost, repo+"sync/", object{"mirror": true}, func(task object) {
		reports, _ := task["progress_reports"].([]any)
		for _, r := range reports {
			if r, ok := r.(map[string]any); ok && r["code"] == "associating.content" {
				done, _ := r["done"].(float64)
				bar.set(int64(done), total)
			}
		}
	})
	return err
}

func (c *client) repository(ctx context.Context) (string, error) {
	list, err := c.call(ctx, http.MethodGet, "repositories/file/file/?name=demo", nil)
	if err != nil {
		return "", err
	}
	results, _ := list["results"].([]any)
	if len(results) != 1 {
		return "", fmt.Errorf("%d repositories are named demo", len(results))
	}
	href, _ := results[0].(map[string]any)["pulp_href"].(string)
	return href, nil
}

// publishAndDistribute returns the path below which the files are served.
func publishAndDistribute(ctx context.Context, c *client) (string, error) {
	repo, err := c.repository(ctx)
	if err != nil {
		return "", err
	}
	task, err := c.run(ctx, http.MethodPost, "publications/file/file/", object{"repository": repo}, nil)
	if err != nil {
		return "", err
	}
	task, err = c.run(ctx, http.MethodPost, "distributions/file/file/",
		object{"name": "demo", "base_path": "demo", "publication": created(task)}, nil)
	if err != nil {
		return "", err
	}
	dist, err := c.call(ctx, http.MethodGet, created(task), nil)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(dist.text("base_url"))
	if err != nil {
		return "", err
	}
	return u.EscapedPath(), nil
}

// downloads is how many files are downloaded at a time.
const downloads = 16

func downloadAll(ctx context.Context, base string, up *upstream, b *bars) error {
	bar := b.add("downloading", int64(len(up.entries)))
	// By default only two idle connections of a host are kept; the others would be opened again for each file.
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: downloads}}
	defer hc.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(downloads)
	for _, e := range up.entries {
		group.Go(func() error {
			defer bar.add(1)
			return compare(ctx, hc, base+(&url.URL{Path: e.Path}).EscapedPath(), e)
		})
	}
	return group.Wait()
}

func compare(ctx context.Context, hc *http.Client, location string, e file.Entry) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return err
	}
	res, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", location, res.Status)
	}
	h := sha256.New()
	n, err := io.Copy(h, res.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", location, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != e.SHA256 || n != e.Size {
		return fmt.Errorf("%s: got %d bytes with sha256 %s, want %d with %s", location, n, got, e.Size, e.SHA256)
	}
	return nil
}

// goSource returns the source folder of the Go toolchain, the demo's default upstream.
func goSource(ctx context.Context) (string, error) {
	root, err := goEnv(ctx, "GOROOT")
	if err != nil {
		return "", fmt.Errorf("no FOLDER is given and there is no Go toolchain to take its sources: %w", err)
	}
	return filepath.Join(root, "src"), nil
}
