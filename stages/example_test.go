package stages_test

import (
	"context"
	"fmt"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/stages"
)

// Note is a content unit without files.
type Note struct {
	models.Content
	Text string `json:"text" pulp:"natural"`
}

// index is a first stage: it declares a unit for every line of the metadata. When it has declared the last it waits
// for the first, as one does that needs the bytes of a unit to go on.
type index struct {
	lines []string
}

func (x *index) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	var units []*stages.DeclarativeContent
	for _, line := range x.lines {
		dc := &stages.DeclarativeContent{Content: &Note{Text: line}}
		if err := out.Put(ctx, dc); err != nil {
			return err
		}
		units = append(units, dc)
	}
	saved, err := units[0].Resolution(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("resolved %q\n", saved.(*Note).Text)
	return out.Put(ctx, &stages.DeclarativeContent{Content: &Note{Text: "found in the first"}})
}

// save stands for the stock stages, which need a database.
func save(ctx context.Context, in *stages.In, out *stages.Out) error {
	for batch, err := range in.Batches(ctx, 500) {
		if err != nil {
			return err
		}
		fmt.Printf("a batch of %d\n", len(batch))
		for _, dc := range batch {
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
		}
	}
	return nil
}

func Example() {
	// In a plugin: stages.DeclarativeVersion{Repository: repo, First: first, Mirror: true}.Create(ctx, env)
	first := &index{lines: []string{"one", "two", "three"}}
	err := stages.Run(context.Background(), 10, first, stages.Func(save), stages.ResolveContentFutures{})
	fmt.Println(err)
	// Output:
	// a batch of 3
	// resolved "one"
	// a batch of 1
	// <nil>
}

func ExampleDeclarativeContent_Skip() {
	err := stages.Run(context.Background(), 0,
		stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
			dc := &stages.DeclarativeContent{Content: &Note{Text: "obsolete"}}
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			_, err := dc.Resolution(ctx)
			fmt.Println("waited in vain:", err)
			return nil
		}),
		stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
			for dc, err := range in.Items(ctx) {
				if err != nil {
					return err
				}
				dc.Skip(fmt.Errorf("%q is of no use", dc.Content.(*Note).Text))
			}
			return nil
		}))
	fmt.Println(err)
	// Output:
	// waited in vain: "obsolete" is of no use
	// <nil>
}
