package pulpcmd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

// firstStart makes the admin when there is none yet.
func firstStart(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	password := rand.Text()
	created, err := app.CreateAdmin(ctx, password)
	if err != nil || !created {
		return err
	}
	return tell(out, password)
}

func resetAdmin(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	password := rand.Text()
	if err := app.SetAdminPassword(ctx, password); err != nil {
		return err
	}
	return tell(out, password)
}

func tell(out io.Writer, password string) error {
	_, err := fmt.Fprintf(out, "The user %q has the password %s\n", pulpcore.AdminName, password)
	return err
}

func rotateKey(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	n, err := models.RotateKey(ctx, app.DB())
	_, _ = fmt.Fprintf(out, "%d secrets were encrypted with the first key\n", n)
	return err
}

func check(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	found, err := inspect.Check(ctx, app.Queue().DB())
	if err != nil {
		return err
	}
	for _, v := range found {
		if _, err := fmt.Fprintln(out, v); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%d violations, which are faults of the task engine; please report them", len(found))
	}
	return nil
}

// reportChecksums prints how many artifacts do not agree with ALLOWED_CONTENT_CHECKSUMS, by algorithm.
func (p *Program) reportChecksums(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	r, err := models.ReportChecksums(ctx, app.DB())
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%d artifacts\n", r.Artifacts)
	for _, c := range r.Algorithms {
		if c.Allowed {
			_, _ = fmt.Fprintf(out, "%-6s  allowed    %d artifacts lack it\n", c.Algorithm, c.Artifacts)
		} else {
			_, _ = fmt.Fprintf(out, "%-6s  forbidden  %d artifacts have it\n", c.Algorithm, c.Artifacts)
		}
	}
	_, _ = fmt.Fprintf(out, "fix-checksums would read %d artifacts of %d bytes\n", r.Lacking, r.LackingBytes)
	_, _ = fmt.Fprintf(out, "%d sources at remotes have forbidden digests only; sync again to get others\n",
		r.Unverifiable)
	if !r.OK() {
		return errors.New("the artifacts do not agree with ALLOWED_CONTENT_CHECKSUMS; run " + p.Name + " fix-checksums")
	}
	return nil
}

// fixChecksums makes all artifacts agree with ALLOWED_CONTENT_CHECKSUMS, and prints its progress every ten seconds.
func fixChecksums(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	last := time.Now()
	done, err := models.FixChecksums(ctx, app.DB(), app.Store(), &models.ChecksumFixOptions{
		Progress: func(p models.ChecksumProgress) {
			if time.Since(last) < 10*time.Second {
				return
			}
			last = time.Now()
			_, _ = fmt.Fprintf(out, "%d of %d artifacts\n", p.Done, p.Total)
		},
		Broken: func(a *models.Artifact, err error) {
			_, _ = fmt.Fprintf(out, "artifact %s is left as it is: %s\n", a.SHA256, pulperr.Message(err))
		},
	})
	_, _ = fmt.Fprintf(out, "%d artifacts got digests, %d lost forbidden ones, %d are broken; %d bytes were read\n",
		done.Filled, done.Cleared, done.Broken, done.DoneBytes)
	return err
}
