package schedule_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/schedule"
)

func ExampleSet() {
	tidy := tasking.Define[struct{}]("example.tidy")
	start := func(ctx context.Context, q *tasking.Queue) error {
		night := time.Date(2000, 1, 1, 3, 30, 0, 0, time.UTC) // any night, so at 3:30 every day
		s, err := schedule.Set(ctx, q, tidy, struct{}{}, &schedule.Options{
			Name: "tidy up at night", Every: 24 * time.Hour, Next: night, Exclusive: tasking.Named("example:attic"),
		})
		if err != nil {
			return err
		}
		fmt.Println(s.TaskName, "every", s.Interval())
		return nil
	}
	_ = start
}
