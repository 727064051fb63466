package apitest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/secrets"
)

// The types of a plugin that has fields of every form, and every kind of operation.
type (
	// fields has a field of each form.
	fields struct {
		models.Repository
		Text     string                `json:"text" rest:"max=20" doc:"Text."`
		Blank    *string               `json:"blank" rest:"blank,verbatim" doc:"Text that may be empty."`
		Choice   string                `json:"choice" rest:"choices=red|blue,default=red" doc:"One of two."`
		Flag     bool                  `json:"flag" rest:"default=true" doc:"Flag."`
		Maybe    *bool                 `json:"maybe" doc:"Flag or null."`
		Number   int                   `json:"number" rest:"min=0,default=1" doc:"Number."`
		Small    int16                 `json:"small" doc:"Small number."`
		Byte     uint8                 `json:"byte" doc:"Number without a sign."`
		Large    *int64                `json:"large" doc:"Number or null."`
		Ratio    float64               `json:"ratio" rest:"min=0" doc:"Ratio."`
		At       time.Time             `json:"at" rest:"required" doc:"Time."`
		Until    *time.Time            `json:"until" doc:"Time or null."`
		Upstream *uuid.UUID            `json:"upstream" rest:"ref=remote" doc:"Remote."`
		Units    []uuid.UUID           `json:"units" rest:"ref=content" doc:"Content."`
		Words    []string              `json:"words" rest:"choices=one|two" doc:"Words."`
		Numbers  []int                 `json:"numbers" doc:"Numbers."`
		Times    []time.Time           `json:"times" doc:"Times."`
		Options  map[string]string     `json:"options" doc:"Options."`
		Nested   map[string][]int      `json:"nested" doc:"Lists by name."`
		Free     json.RawMessage       `json:"free" doc:"Any value."`
		Point    point                 `json:"point" doc:"Point."`
		Marks    models.Labels         `json:"marks" doc:"Further labels."`
		Token    secrets.EncryptedText `json:"token" doc:"Secret."`
		Shown    string                `json:"shown" rest:"readonly" doc:"What clients cannot set."`
	}
	point struct {
		X int `json:"x"`
		Y int `json:"y"`
	}
	note struct {
		models.Content
		Title string `json:"title" pulp:"natural"`
	}
	set struct {
		models.Content
		Title string `json:"title" pulp:"natural"`
	}
	guard struct {
		models.ContentGuard
		Words []string `json:"words" doc:"Words."`
	}

	stampInput struct {
		At     time.Time  `json:"at" rest:"required" doc:"Time."`
		Where  *uuid.UUID `json:"where" rest:"ref=repository" doc:"Repository."`
		Weight float64    `json:"weight" rest:"min=0.5,default=1" doc:"Weight."`
	}
	countOutput struct {
		Count int64 `json:"count"`
	}
	stampOutput struct {
		At    time.Time `json:"at"`
		Bytes int64     `json:"bytes"`
		Where *string   `json:"where"`
	}
)

var (
	fieldsType = models.Define[fields]("kinds.fields", models.Accepts(notes, sets))
	notes      = models.Define[note]("kinds.note")
	sets       = models.Define[set]("kinds.set")
	guards     = models.Define[guard]("kinds.words")
)

// Permit lets in every request. It is of content.Guard.
func (*guard) Permit(context.Context, *content.Request) error { return nil }

// stamp is an action on a row that takes a file.
func stamp(_ context.Context, r *rest.Request[fields], in *stampInput) (*stampOutput, error) {
	out := &stampOutput{At: in.At}
	if r.Upload() != nil {
		out.Bytes = r.Upload().Size()
	}
	if href, ok := r.Href(r.Row); ok {
		out.Where = &href
	}
	return out, nil
}

// kinds returns the plugin.
func kinds() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name: "kinds", Version: "1.0.0", Models: []models.AnyType{fieldsType, notes, sets, guards},
		Views: []rest.View{
			rest.ViewSet[fields]{
				Type: fieldsType, Name: "fields",
				Filters: rest.Filters{
					"text": rest.NameFilter(), "number": rest.NumberFilter(), "at": rest.DateFilter(), "flag": rest.BoolFilter(),
					"choice": rest.ExactFilter().OneOf("red", "blue"),
				},
				Members: []rest.Member[fields]{rest.Computed("length", "Length of the text.",
					func(_ context.Context, _ *models.DB, rows []*fields) ([]int, error) {
						list := make([]int, len(rows))
						for i, row := range rows {
							list[i] = len(row.Text)
						}
						return list, nil
					})},
				Actions: []rest.Action[fields]{
					rest.Do(rest.Operation{Name: "stamp", File: true}, stamp),
					rest.Do(rest.Operation{Name: "count", Method: http.MethodGet, Collection: true},
						func(ctx context.Context, r *rest.Request[fields], _ *rest.Empty) (*countOutput, error) {
							n, err := fieldsType.Count(ctx, r.DB)
							return &countOutput{n}, err
						}),
					rest.Do(rest.Operation{Name: "touch", Method: http.MethodDelete},
						func(context.Context, *rest.Request[fields], *rest.Empty) (*rest.Empty, error) {
							return &rest.Empty{}, nil
						}),
				},
			},
			rest.ViewSet[note]{Type: notes, Name: "notes", Create: rest.NoArtifact[note](nil)},
			rest.ViewSet[set]{Type: sets, Name: "sets", Create: rest.MultipleArtifact[set](nil)},
			rest.ViewSet[guard]{Type: guards, Name: "words"},
		},
		API: []rest.Route{
			{Pattern: "GET /kinds/open/{name}", Allow: rest.Anybody, Summary: "Answer everybody", Handler: text("open")},
			{Pattern: "POST /kinds/closed/", Allow: rest.Accounts, Summary: "Answer accounts", Handler: text("closed")},
		},
	}
}

func text(answer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(answer))
	})
}
