package models_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// set is the content of a version, by key.
type set map[uuid.UUID]bool

// history is what a repository should be: plain sets by version number.
type history struct {
	next     int
	versions map[int]set
	retain   int // 0 keeps all
}

func (h *history) numbers() []int { return slices.Sorted(maps.Keys(h.versions)) }

func (h *history) latest() int { return slices.Max(h.numbers()) }

// commit makes s the next version unless it is the latest already.
func (h *history) commit(s set) (made bool) {
	if maps.Equal(s, h.versions[h.latest()]) {
		return false
	}
	h.versions[h.next] = s
	h.next++
	h.trim()
	return true
}

func (h *history) trim() {
	for n := h.numbers(); h.retain > 0 && len(n) > h.retain; n = n[1:] {
		delete(h.versions, n[0])
	}
}

// machine does the same operations on a repository and on its history.
type machine struct {
	ctx   context.Context
	db    *models.DB
	repo  *Repo
	other *models.RepositoryVersion // a base from another repository
	extra set                       // its content
	units []uuid.UUID
	types map[uuid.UUID]string
	h     *history
}

var errGivenUp = errors.New("given up")

func (m *machine) draw(t *rapid.T, label string) []uuid.UUID {
	return rapid.SliceOfN(rapid.SampledFrom(m.units), 0, 4).Draw(t, label)
}

// Create runs a closure of random changes; it may start from a base, fail, panic or be abandoned.
func (m *machine) Create(t *rapid.T) {
	want := maps.Clone(m.h.versions[m.h.latest()])
	var opts *models.VersionOptions
	switch base := rapid.SampledFrom([]string{"", "", "", "own", "other"}).Draw(t, "base"); base {
	case "own":
		n := rapid.SampledFrom(m.h.numbers()).Draw(t, "base number")
		v, err := models.VersionByNumber(m.ctx, m.db, m.repo.ID, n)
		if err != nil {
			t.Fatal(err)
		}
		opts, want = &models.VersionOptions{Base: v}, maps.Clone(m.h.versions[n])
	case "other":
		opts, want = &models.VersionOptions{Base: m.other}, maps.Clone(m.extra)
	}
	end := rapid.SampledFrom([]string{"ok", "ok", "ok", "ok", "error", "panic", "crash"}).Draw(t, "end")
	steps := rapid.IntRange(0, 3).Draw(t, "steps")
	v, err := m.create(opts, func(v *models.NewVersion) error {
		for range steps {
			m.step(t, v, want)
		}
		switch end {
		case "error":
			return errGivenUp
		case "panic":
			panic(errGivenUp)
		case "crash":
			models.Abandon(v)
			return errGivenUp
		}
		return nil
	})
	if end != "ok" {
		if v != nil || err == nil {
			t.Fatalf("CreateVersion after %s = %v, %v", end, v, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if made := m.h.commit(want); made != (v != nil) {
		t.Fatalf("CreateVersion made a version: %v, want %v", v != nil, made)
	}
}

func (m *machine) create(opts *models.VersionOptions, fn func(v *models.NewVersion) error) (
	v *models.RepositoryVersion, err error,
) {
	defer func() {
		if p := recover(); p != nil {
			if p != any(errGivenUp) {
				panic(p)
			}
			err = errGivenUp
		}
	}()
	return tryVersion(m.ctx, m.db, m.repo, opts, fn)
}

// step changes the version and the set want alike.
func (m *machine) step(t *rapid.T, v *models.NewVersion, want set) {
	ids := m.draw(t, "units")
	var got, should int64
	var err error
	before := len(want)
	switch op := rapid.SampledFrom([]string{"add", "add", "remove", "all", "set", "mirror"}).Draw(t, "op"); op {
	case "add":
		insert(want, ids)
		should = int64(len(want) - before)
		got, err = v.Add(m.ctx, ids)
	case "remove":
		for _, id := range ids {
			delete(want, id)
		}
		should = int64(before - len(want))
		got, err = v.Remove(m.ctx, ids)
	case "all":
		clear(want)
		should = int64(before)
		got, err = v.RemoveAll(m.ctx)
	case "set":
		clear(want)
		insert(want, ids)
		err = v.Set(m.ctx, ids)
	case "mirror":
		if err := v.MarkSeen(m.ctx, ids); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(want, func(id uuid.UUID, _ bool) bool { return !slices.Contains(ids, id) })
		should = int64(before - len(want))
		got, err = v.RemoveUnseen(m.ctx)
		if err == nil {
			err = models.Forget(m.ctx, v) // or the next mirror step would still see these
		}
	}
	if err != nil || got != should {
		t.Fatalf("changed %d, %v, want %d", got, err, should)
	}
	missing, err := v.Missing(m.ctx, m.units)
	if err != nil || len(missing) != len(m.units)-len(want) {
		t.Fatalf("Missing = %d units, %v, want %d", len(missing), err, len(m.units)-len(want))
	}
}

func insert(s set, ids []uuid.UUID) {
	for _, id := range ids {
		s[id] = true
	}
}

// Delete removes one version, or cuts its removal short.
func (m *machine) Delete(t *rapid.T) {
	n := rapid.SampledFrom(m.h.numbers()).Draw(t, "number")
	v, err := models.VersionByNumber(m.ctx, m.db, m.repo.ID, n)
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "die") && len(m.h.versions) > 1 {
		if err := models.BeginDelete(m.ctx, m.db, v); err != nil {
			t.Fatal(err)
		}
		delete(m.h.versions, n)
		return
	}
	err = models.DeleteVersion(m.ctx, m.db, v)
	if len(m.h.versions) == 1 {
		if !errors.Is(err, pulperr.Invalid) || pulperr.Code(err) != "PLP0011" {
			t.Fatalf("DeleteVersion of the only version = %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(m.h.versions, n)
}

// Retain changes the setting and applies it.
func (m *machine) Retain(t *rapid.T) {
	n := rapid.IntRange(0, 4).Draw(t, "retain")
	m.repo.RetainRepoVersions = nil
	if n > 0 {
		m.repo.RetainRepoVersions = &n
	}
	if err := repos.Update(m.ctx, m.db, m.repo, "retain_repo_versions"); err != nil {
		t.Fatal(err)
	}
	m.h.retain = n
	m.h.trim()
	if err := models.Retain(m.ctx, m.db, m.repo.ID); err != nil {
		t.Fatal(err)
	}
}

// Repair ends what a crash left.
func (m *machine) Repair(t *rapid.T) {
	if err := models.RepairVersions(m.ctx, m.db, m.repo.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := models.DeadMemberships(m.ctx, m.db, m.repo.ID); err != nil || n != 0 {
		t.Fatalf("%d memberships belong to no version, %v", n, err)
	}
	if wrong, err := models.WrongCounts(m.ctx, m.db, m.repo.ID); err != nil || wrong != nil {
		t.Fatalf("the counts of versions %v are wrong, %v", wrong, err)
	}
}

// Check compares all versions with the history.
func (m *machine) Check(t *rapid.T) {
	list, err := models.Versions(m.ctx, m.db, m.repo.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, v := range slices.Backward(list) {
		numbers = append(numbers, v.Number)
	}
	if diff := cmp.Diff(m.h.numbers(), numbers); diff != "" {
		t.Fatalf("version numbers (-want +got):\n%s", diff)
	}
	before := set{}
	clean, err := models.Clean(m.ctx, m.db, m.repo.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range slices.Backward(list) {
		want := m.h.versions[v.Number]
		if err := m.checkVersion(v, before, want, clean); err != nil {
			t.Fatalf("version %d: %v", v.Number, err)
		}
		before = want
	}
}

func (m *machine) checkVersion(v *models.RepositoryVersion, before, want set, clean bool) error {
	got, err := members(m.ctx, m.db, v)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(map[uuid.UUID]bool(want), got); diff != "" {
		return fmt.Errorf("content (-want +got):\n%s", diff)
	}
	if !clean { // a deletion that was cut short counts what it has not yet looked at
		return nil
	}
	counts := map[string]models.TypeCount{}
	var added, removed int
	for _, id := range m.units {
		c := counts[m.types[id]]
		switch {
		case want[id] && before[id]:
			c.Present++
		case want[id]:
			c.Present++
			c.Added++
			added++
		case before[id]:
			c.Removed++
			removed++
		}
		if c != (models.TypeCount{}) {
			counts[m.types[id]] = c
		}
	}
	kept, err := v.Counts(m.ctx, m.db)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(counts, kept); diff != "" {
		return fmt.Errorf("counts (-want +got):\n%s", diff)
	}
	a, r, err := m.listed(v)
	if err != nil || a != added || r != removed {
		return fmt.Errorf("%d added and %d removed units are listed, %w, want %d and %d", a, r, err, added, removed)
	}
	return nil
}

// listed counts what queries find as added and removed.
func (m *machine) listed(v *models.RepositoryVersion) (added, removed int, err error) {
	for cond, n := range map[*models.Cond]*int{ptr(models.AddedIn(v)): &added, ptr(models.RemovedIn(v)): &removed} {
		inNotes, err := notes.Count(m.ctx, m.db, *cond)
		if err != nil {
			return 0, 0, err
		}
		inFiles, err := files.Count(m.ctx, m.db, *cond)
		if err != nil {
			return 0, 0, err
		}
		*n = int(inNotes + inFiles)
	}
	return added, removed, nil
}

func ptr[T any](v T) *T { return &v }

// TestVersionsAgainstSets runs random operations on a repository and on plain sets, and compares after each.
func TestVersionsAgainstSets(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		units := newNotes(t, db, 4) // few, so that they come and go often
		types := map[uuid.UUID]string{}
		for _, id := range units {
			types[id] = "test.note"
		}
		for i := range 2 { // different paths, so that none displaces another
			id := newFile(t, db, fmt.Sprintf("path %d", i), "x", nil)
			types[id] = "test.file"
			units = append(units, id)
		}
		other := newRepo(t, db)
		extra := set{}
		insert(extra, units[2:5])
		base := add(t, db, other, units[2:5]...)
		rapid.Check(t, func(rt *rapid.T) {
			m := &machine{
				ctx: t.Context(), db: db, repo: newRepo(t, db), other: base, extra: extra, units: units, types: types,
				h: &history{next: 1, versions: map[int]set{0: {}}},
			}
			rt.Repeat(map[string]func(*rapid.T){
				"": m.Check, "create": m.Create, "delete": m.Delete, "retain": m.Retain, "repair": m.Repair,
			})
		})
	})
}
