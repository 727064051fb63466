package stages_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/stages"
)

func perSecond(b *testing.B, units int) {
	b.ReportMetric(float64(units)*float64(b.N)/b.Elapsed().Seconds(), "units/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPipeline moves units through eight stages that do nothing, which is what the stock pipeline has.
func BenchmarkPipeline(b *testing.B) {
	const units = 20_000
	for _, size := range []int{1, 500} {
		b.Run(fmt.Sprint("batch ", size), func(b *testing.B) {
			b.ReportAllocs()
			list := make([]*stages.DeclarativeContent, units)
			for i := range list {
				list[i] = bare(i)
			}
			for b.Loop() {
				line := []stages.Stage{put(list...)}
				for range 8 {
					line = append(line, batched(size))
				}
				must(b, stages.Run(b.Context(), size, line...))
			}
			perSecond(b, units)
		})
	}
}

// BenchmarkResolution waits for every unit before the next is declared.
func BenchmarkResolution(b *testing.B) {
	b.ReportAllocs()
	first := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		for i := 0; b.Loop(); i++ {
			dc := bare(i)
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			if _, err := dc.Resolution(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	line := []stages.Stage{first}
	for range 6 {
		line = append(line, batched(500))
	}
	must(b, stages.Run(b.Context(), 0, append(line, stages.ResolveContentFutures{}, batched(500))...))
}

// BenchmarkSync mirrors 20,000 units that stay at the remote: the first time, again unchanged, and with all URLs
// changed.
func BenchmarkSync(b *testing.B) {
	const units = 20_000
	for _, d := range dbtest.URLs(b) {
		b.Run(d.Name, func(b *testing.B) {
			bench := setup(b, d.URL)
			remote := bench.remote("up", "http://127.0.0.1:1", models.OnDemand)
			round := 0
			run := func(b *testing.B, repo *Repo, prefix, base string) {
				first := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
					for i := range units {
						path := fmt.Sprint(prefix, "/dir-", i%100, "/file-", i)
						if err := out.Put(ctx, declare(remote, base, path, path)); err != nil {
							return err
						}
					}
					return nil
				})
				bench.sync(stages.DeclarativeVersion{Repository: repo, First: first, Mirror: true})
			}
			b.Run("first", func(b *testing.B) {
				bench.t = b
				for b.Loop() {
					round++
					run(b, bench.repo(fmt.Sprint("r", round)), fmt.Sprint(round), remote.URL)
				}
				perSecond(b, units)
			})
			var repo *Repo
			b.Run("again", func(b *testing.B) {
				bench.t = b
				if repo == nil {
					repo = bench.repo("r")
					run(b, repo, "again", remote.URL)
				}
				for b.Loop() {
					run(b, repo, "again", remote.URL)
				}
				perSecond(b, units)
			})
			b.Run("moved", func(b *testing.B) {
				bench.t = b
				for b.Loop() {
					round++
					run(b, repo, "again", fmt.Sprint(remote.URL, "/", round))
				}
				perSecond(b, units)
			})
		})
	}
}
