package models_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// A row that a plugin read with bun, whose secrets nobody opened, keeps them when it is saved.
func TestUnopenedSecretIsKept(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		made := newRemote("one")
		if err := remotes.Create(ctx, db, made); err != nil {
			t.Fatal(err)
		}
		row := &Remote{}
		err := db.Bun().NewSelect().Model(row).ModelTableExpr("core_remote AS remote").ExcludeColumn("token", "fanciness").
			Where("pulp_id = ?", made.ID).Scan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if row.Password.Reveal() != "" || !row.Password.IsSet() {
			t.Fatalf("scanned password: %q, set %t", row.Password.Reveal(), row.Password.IsSet())
		}
		row.URL = "https://elsewhere.example/"
		if err := remotes.Update(ctx, db, row, "url", "password"); err != nil {
			t.Fatal(err)
		}
		got, err := remotes.Get(ctx, db, models.RefOf(made))
		if err != nil || got.Password.Reveal() != secret || got.URL != row.URL {
			t.Fatalf("password %q, url %q, %v", got.Password.Reveal(), got.URL, err)
		}
	})
}

// Ciphertext that was moved to another column or row by somebody who can write to the database stays closed.
func TestSecretsAreBoundToTheirPlace(t *testing.T) {
	moves := map[string]string{
		"another column": "UPDATE core_remote SET username = password WHERE name = 'b'",
		"another row": "UPDATE core_remote SET password = (SELECT password FROM core_remote WHERE name = 'a') " +
			"WHERE name = 'b'",
		"another table": "UPDATE core_remote SET password = (SELECT d.token FROM test_test_remote d " +
			"JOIN core_remote m ON m.pulp_id = d.pulp_id WHERE m.name = 'b') WHERE name = 'b'",
	}
	for name, statement := range moves {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, db *models.DB) {
				ctx := t.Context()
				a, b := newRemote("a"), newRemote("b")
				for _, r := range []*Remote{a, b} {
					if err := remotes.Create(ctx, db, r); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := db.Bun().ExecContext(ctx, statement); err != nil {
					t.Fatal(err)
				}
				_, err := remotes.Get(ctx, db, models.RefOf(b))
				wantKind(t, err, pulperr.Unavailable, "of row "+b.ID.String()+" cannot be decrypted")
				if _, err := remotes.Get(ctx, db, models.RefOf(a)); err != nil {
					t.Errorf("the other row: %v", err)
				}
			})
		})
	}
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		older, newer := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
		db := func(keys ...[]byte) *models.DB {
			ring, err := secrets.NewKeyring(keys...)
			if err != nil {
				t.Fatal(err)
			}
			return modelstest.Open(t, url, &models.DBOptions{Keys: ring}, testSet())
		}
		remote, lost := newRemote("one"), newRemote("two")
		if err := remotes.Create(ctx, db(older), remote); err != nil {
			t.Fatal(err)
		}
		task := uuid.New()
		place := secrets.Place{Table: "core_taskschedule", Column: "enc_args", Row: task}
		sealed, err := db(older).Keys().Seal([]byte("{}"), place)
		if err != nil {
			t.Fatal(err)
		}
		schedule := &models.TaskSchedule{Name: "s", ReservedResources: []string{}, TaskName: "test.t", DomainID: db(older).Domain().ID}
		schedule.ID, schedule.Created, schedule.Updated = task, models.Now(), models.Now()
		if _, err := db(older).Bun().NewInsert().Model(schedule).Value("enc_args", "?", sealed).Exec(ctx); err != nil {
			t.Fatal(err)
		}
		both := db(newer, older)
		if n, err := models.RotateKey(ctx, both); err != nil || n != 3 { // two of the remote, one of the schedule
			t.Fatalf("RotateKey = %d, %v, want 3", n, err)
		}
		if n, err := models.RotateKey(ctx, both); err != nil || n != 0 {
			t.Fatalf("second RotateKey = %d, %v, want 0", n, err)
		}
		got, err := remotes.Get(ctx, db(newer), models.RefOf(remote))
		if err != nil || got.Token.Reveal() != secret || got.Password.Reveal() != secret {
			t.Fatalf("with the new key alone: %v", err)
		}

		// What no key opens stays, and does not keep the rest from being rotated.
		if err := remotes.Create(ctx, db(bytes.Repeat([]byte{3}, 32)), lost); err != nil {
			t.Fatal(err)
		}
		newest := bytes.Repeat([]byte{4}, 32)
		n, err := models.RotateKey(ctx, db(newest, newer))
		wantKind(t, err, pulperr.Unavailable, "2 secrets are left")
		if n != 3 {
			t.Errorf("RotateKey = %d beside lost secrets, want 3", n)
		}
		if _, err := remotes.Get(ctx, db(newest), models.RefOf(remote)); err != nil {
			t.Error(err)
		}
		if _, err := remotes.Get(ctx, db(bytes.Repeat([]byte{3}, 32)), models.RefOf(lost)); err != nil {
			t.Error(err)
		}
	})
}
