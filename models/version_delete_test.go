package models_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// published is a repository with versions 0 to 4, each with one unit more.
type published struct {
	repo     *Repo
	versions []*models.RepositoryVersion
}

func newPublished(t *testing.T, db *models.DB) *published {
	t.Helper()
	p := &published{repo: newRepo(t, db)}
	v, err := models.LatestVersion(t.Context(), db, p.repo.ID)
	if err != nil {
		t.Fatal(err)
	}
	p.versions = append(p.versions, v)
	for _, id := range newNotes(t, db, 4) {
		p.versions = append(p.versions, add(t, db, p.repo, id))
	}
	return p
}

// publish makes a complete publication of a version.
func (p *published) publish(t *testing.T, db *models.DB, number int, checkpoint bool) *uuid.UUID {
	t.Helper()
	pub := &Publication{}
	pub.RepositoryVersionID, pub.Complete, pub.Checkpoint = p.versions[number].ID, true, checkpoint
	if err := publications.Create(t.Context(), db, pub); err != nil {
		t.Fatal(err)
	}
	return &pub.ID
}

func (p *published) distribute(t *testing.T, db *models.DB, set func(d *models.Distribution)) {
	t.Helper()
	d := &Distribution{}
	d.Name = models.NewID().String()
	d.BasePath = d.Name
	set(&d.Distribution)
	if err := distributions.Create(t.Context(), db, d); err != nil {
		t.Fatal(err)
	}
}

func TestProtectedVersions(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		tests := []struct {
			name string
			set  func(t *testing.T, p *published)
			want []int
		}{
			{"nothing is distributed", func(t *testing.T, p *published) { p.publish(t, db, 2, false) }, nil},
			{"a distributed version", func(t *testing.T, p *published) {
				p.distribute(t, db, func(d *models.Distribution) { d.RepositoryVersionID = &p.versions[1].ID })
			}, []int{1}},
			{"a distributed publication", func(t *testing.T, p *published) {
				pub := p.publish(t, db, 2, false)
				p.distribute(t, db, func(d *models.Distribution) { d.PublicationID = pub })
			}, []int{2}},
			{"a distributed repository", func(t *testing.T, p *published) {
				p.distribute(t, db, func(d *models.Distribution) { d.RepositoryID = &p.repo.ID })
			}, []int{4}},
			{"a distributed repository with publications", func(t *testing.T, p *published) {
				p.publish(t, db, 1, false)
				p.publish(t, db, 2, false)
				p.publish(t, db, 3, true)
				p.distribute(t, db, func(d *models.Distribution) { d.RepositoryID = &p.repo.ID })
			}, []int{2}},
			{"distributed checkpoints", func(t *testing.T, p *published) {
				p.publish(t, db, 1, true)
				p.publish(t, db, 2, false)
				p.publish(t, db, 3, true)
				p.distribute(t, db, func(d *models.Distribution) { d.RepositoryID, d.Checkpoint = &p.repo.ID, true })
			}, []int{1, 3}},
			{"all of it", func(t *testing.T, p *published) {
				pub := p.publish(t, db, 0, false)
				p.distribute(t, db, func(d *models.Distribution) { d.PublicationID = pub })
				p.distribute(t, db, func(d *models.Distribution) { d.RepositoryVersionID = &p.versions[3].ID })
				p.distribute(t, db, func(d *models.Distribution) { d.RepositoryID = &p.repo.ID })
			}, []int{0, 3}},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				ctx := t.Context()
				p := newPublished(t, db)
				test.set(t, p)
				got, err := models.ProtectedVersions(ctx, db, p.repo.ID)
				if err != nil || !slices.Equal(got, test.want) {
					t.Fatalf("ProtectedVersions = %v, %v, want %v", got, err, test.want)
				}
				for _, n := range test.want {
					err := models.DeleteVersion(ctx, db, p.versions[n])
					wantKind(t, err, pulperr.Invalid, "is being distributed")
				}
				p.retain(t, db, 1, test.want)
			})
		}
	})
}

// retain keeps n versions beside the protected ones.
func (p *published) retain(t *testing.T, db *models.DB, n int, protected []int) {
	t.Helper()
	p.repo.RetainRepoVersions = &n
	if err := repos.Update(t.Context(), db, p.repo, "retain_repo_versions"); err != nil {
		t.Fatal(err)
	}
	if err := models.Retain(t.Context(), db, p.repo.ID); err != nil {
		t.Fatal(err)
	}
	list, err := models.Versions(t.Context(), db, p.repo.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(protected)
	for number := 4; n > 0; number-- {
		if !slices.Contains(protected, number) {
			want = append(want, number)
			n--
		}
	}
	slices.Sort(want)
	var got []int
	for _, v := range slices.Backward(list) {
		got = append(got, v.Number)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("versions after Retain (-want +got):\n%s", diff)
	}
}

func TestDeleteVersionWithPublications(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		for _, number := range []int{2, 4} { // squashed, undone
			p := newPublished(t, db)
			pub := p.publish(t, db, number, false)
			if err := models.DeleteVersion(ctx, db, p.versions[number]); err != nil {
				t.Fatal(err)
			}
			if n, err := publications.Count(ctx, db, models.Eq("pulp_id", *pub)); err != nil || n != 0 {
				t.Fatalf("publications of version %d = %d, %v", number, n, err)
			}
			_, err := models.VersionByID(ctx, db, p.versions[number].ID)
			wantKind(t, err, pulperr.NotFound, "")
			wantKind(t, models.DeleteVersion(ctx, db, p.versions[number]), pulperr.NotFound, "")
			if v := add(t, db, p.repo, newNotes(t, db, 1)...); v.Number != 5 {
				t.Fatalf("next number = %d, want 5: numbers are not used again", v.Number)
			}
		}
	})
}

// A unit that was away for one version only was never away once that version is deleted.
func TestDeleteVersionMerges(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 3)
		remove := func(ids ...uuid.UUID) *models.RepositoryVersion {
			v, _, err := models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
				_, err := v.Remove(ctx, ids)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		add(t, db, repo, units...)
		away := remove(units[0], units[1])
		back := add(t, db, repo, units[0], units[1])
		gone := remove(units[1])
		if err := models.DeleteVersion(ctx, db, away); err != nil {
			t.Fatal(err)
		}
		checkContent(ctx, t, db, back, units)
		checkContent(ctx, t, db, gone, []uuid.UUID{units[0], units[2]})
		for v, want := range map[*models.RepositoryVersion]models.TypeCount{
			back: {Present: 3}, gone: {Present: 2, Removed: 1},
		} {
			if got, err := v.Counts(ctx, db); err != nil || got["test.note"] != want {
				t.Errorf("counts of version %d = %v, %v, want %v", v.Number, got, err, want)
			}
		}
		n, err := db.Bun().NewSelect().TableExpr("core_repositorycontent").Where("repository_id = ?", repo.ID).Count(ctx)
		if err != nil || n != 3 {
			t.Errorf("%d memberships, %v, want one per unit", n, err)
		}
		if wrong, err := models.WrongCounts(ctx, db, repo.ID); err != nil || wrong != nil {
			t.Errorf("the counts of versions %v are wrong, %v", wrong, err)
		}
	})
}

func TestVersionsPages(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		p := newPublished(t, db)
		for _, test := range []struct {
			limit, offset int
			want          []int
		}{{0, 0, []int{4, 3, 2, 1, 0}}, {2, 1, []int{3, 2}}, {2, 4, []int{0}}, {3, 9, nil}, {0, 3, []int{1, 0}}} {
			list, err := models.Versions(t.Context(), db, p.repo.ID, test.limit, test.offset)
			var got []int
			for _, v := range list {
				got = append(got, v.Number)
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("Versions(%d, %d) = %v, %v, want %v", test.limit, test.offset, got, err, test.want)
			}
		}
	})
}
