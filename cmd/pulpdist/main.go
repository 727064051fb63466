package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

var errUsage = pulperr.Public(pulperr.Invalid,
	"usage: pulpdist build FILE [--dry-run] [--out DIR] [--no-prerequisites] [--timeout DURATION], or "+
		"pulpdist init plugin NAME [--module PATH] [--out DIR] [--pulpcore DIR]")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		log.SetFlags(0)
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) > 0 && args[0] == "init" {
		return runInit(out, args[1:])
	}
	if len(args) < 2 || args[0] != "build" {
		return errUsage
	}
	path := args[1]
	b := &builder{progress: out}
	flags := flag.NewFlagSet("pulpdist build", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are returned
	dry := flags.Bool("dry-run", false, "")
	flags.StringVar(&b.out, "out", "", "")
	flags.BoolVar(&b.noPrerequisites, "no-prerequisites", false, "")
	flags.DurationVar(&b.timeout, "timeout", 15*time.Minute, "")
	if err := flags.Parse(args[2:]); err != nil || flags.NArg() > 0 || b.timeout <= 0 {
		return errUsage
	}
	d, err := readDistribution(path)
	if err != nil {
		return err
	}
	b.dist = d
	if b.out == "" {
		b.out = filepath.Join(d.dir, d.Name)
	}
	if b.out, err = filepath.Abs(b.out); err != nil {
		return err
	}
	if *dry {
		return b.plan()
	}
	return b.build(ctx)
}

// plan prints what build would do.
func (b *builder) plan() error {
	for _, j := range b.jobs("DIR", filepath.Join("DIR", "src")) {
		if _, err := fmt.Fprintln(b.progress, j); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(b.progress, "rename DIR to %s\n", b.out)
	return err
}
