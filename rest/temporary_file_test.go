package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
)

type keepInput struct {
	SHA256 string `json:"sha256" rest:"blank" doc:"What the file must have."`
}

type keepOutput struct {
	Key string `json:"key"`
}

// TestUploadBecomesATemporaryFile keeps uploads for tasks, and refuses one with other bytes than promised.
func TestUploadBecomesATemporaryFile(t *testing.T) {
	t.Parallel()
	var kept *models.TemporaryFile
	keep := rest.Do(rest.Operation{Name: "keep", File: true},
		func(ctx context.Context, r *rest.Request[Repository], in *keepInput) (_ *keepOutput, err error) {
			var expect *hashlib.Expect
			if in.SHA256 != "" {
				expect = &hashlib.Expect{Digests: hashlib.SHA256Hex(in.SHA256)}
			}
			if kept, err = r.Upload().TemporaryFile(ctx, expect); err != nil {
				return nil, err
			}
			_, err = r.Upload().Save(ctx)
			if err == nil {
				return nil, fmt.Errorf("the upload was saved a second time")
			}
			return &keepOutput{kept.Key()}, nil
		})
	dbtest.Each(t, func(t *testing.T, url string) {
		b := setupViews(t, openDB(t, url), nil, []rest.View{
			rest.ViewSet[Repository]{Type: repositories, Name: "file", Actions: []rest.Action[Repository]{keep}},
		})
		for _, tt := range []struct {
			sha256 string
			status int
		}{
			{"", http.StatusOK},
			{"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", http.StatusOK},
			{"0a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", http.StatusBadRequest},
			{"abc", http.StatusBadRequest},
		} {
			body, edit := form(t, "file", "@abc", "sha256", tt.sha256)
			res := b.do("POST", b.repo()+"keep/", body, edit).want(tt.status)
			if tt.status != http.StatusOK {
				continue
			}
			row, err := models.GetTemporaryFile(t.Context(), b.db, kept.ID)
			must(t, err)
			there, err := b.store.Exists(t.Context(), res.str("key"))
			must(t, err)
			if row.Size != 3 || !there {
				t.Errorf("size = %d, stored = %v, want 3 bytes in the store", row.Size, there)
			}
			must(t, row.Delete(t.Context(), b.db, b.store))
		}
		for object, err := range b.store.List(t.Context(), "") {
			t.Errorf("the store has %s, %v, want nothing", object.Key, err)
		}
	})
}
