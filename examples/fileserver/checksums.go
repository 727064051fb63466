package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// reportChecksums prints how many artifacts do not agree with ALLOWED_CONTENT_CHECKSUMS, by algorithm.
func reportChecksums(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	r, err := models.ReportChecksums(ctx, app.DB())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d artifacts\n", r.Artifacts)
	for _, c := range r.Algorithms {
		if c.Allowed {
			fmt.Fprintf(out, "%-6s  allowed    %d artifacts lack it\n", c.Algorithm, c.Artifacts)
		} else {
			fmt.Fprintf(out, "%-6s  forbidden  %d artifacts have it\n", c.Algorithm, c.Artifacts)
		}
	}
	fmt.Fprintf(out, "fix-checksums would read %d artifacts of %d bytes\n", r.Lacking, r.LackingBytes)
	fmt.Fprintf(out, "%d sources at remotes have forbidden digests only; sync again to get others\n", r.Unverifiable)
	if !r.OK() {
		return errors.New("the artifacts do not agree with ALLOWED_CONTENT_CHECKSUMS; run fileserver fix-checksums")
	}
	return nil
}

// fixChecksums makes all artifacts agree with ALLOWED_CONTENT_CHECKSUMS, and shows its progress on a terminal.
func fixChecksums(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	b := newBars()
	bar := b.add("artifacts", 0)
	done, err := models.FixChecksums(ctx, app.DB(), app.Store(), &models.ChecksumFixOptions{
		Progress: func(p models.ChecksumProgress) { bar.set(p.Done, p.Total) },
		Broken: func(a *models.Artifact, err error) {
			fmt.Fprintf(out, "artifact %s is left as it is: %s\n", a.SHA256, pulperr.Message(err))
		},
	})
	bar.done()
	b.wait()
	fmt.Fprintf(out, "%d artifacts got digests, %d lost forbidden ones, %d are broken; %d bytes were read\n",
		done.Filled, done.Cleared, done.Broken, done.DoneBytes)
	return err
}
