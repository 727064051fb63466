package links_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
)

type repository struct{ models.Repository }

var repositories = models.Define[repository]("file.file")

const key = "0198f000-0000-7000-8000-000000000000"

func serve() (*links.Links, *links.Type) {
	l := links.New("/pulp/api/v3/")
	t := &links.Type{
		AnyType: repositories, Kind: l.Kind(string(models.RepositoryMaster)), Path: "repositories/file/file/",
	}
	l.Add(t)
	return l, t
}

// Every link that is written is read back as what it names.
func TestLinksAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	l, repo := serve()
	id := uuid.MustParse(key)
	for text, want := range map[string]links.Target{
		l.RowHref(repo, id):                                       {Kind: "repository", Type: repo, ID: id},
		"https://pulp.example" + l.RowHref(repo, id):              {Kind: "repository", Type: repo, ID: id},
		models.TypedPRN(models.RepositoryMaster, "file.file", id): {Kind: "repository", Type: repo, ID: id},
		l.VersionHref(repo, id, 7):                                links.OfVersion(repo, id, 7),
		models.CorePRN(links.Version, id):                         {Kind: links.Version, ID: id},
		l.Href(links.TaskGroup, id):                               {Kind: links.TaskGroup, ID: id},
		models.CorePRN(links.Worker, id):                          {Kind: links.Worker, ID: id},
	} {
		got, ok := l.Parse(text)
		if !ok || got.Kind != want.Kind || got.Type != want.Type || got.ID != want.ID {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", text, got, ok, want)
		}
	}
	if got, _ := l.Parse(l.VersionHref(repo, id, 7)); got != links.OfVersion(repo, id, 7) {
		t.Errorf("version 7 is read as %+v", got)
	}
}

func TestTextsThatAreNoLinks(t *testing.T) {
	t.Parallel()
	l, repo := serve()
	id := uuid.MustParse(key)
	for _, text := range []string{
		"", "prn:", "prn:core.nothing:" + key, "prn:other.file:" + key, "/pulp/api/v3/tasks/", "/pulp/api/v3/tasks/1/",
		"/pulp/api/v3/nothing/" + key + "/", "/other/tasks/" + key + "/", l.RowHref(repo, id)[:40],
		l.RowHref(repo, id) + "versions/07/", l.RowHref(repo, id) + "versions/-1/", l.RowHref(repo, id) + "files/7/",
		"/pulp/api/v3/remotes/file/file/" + key + "/", "http://[" + l.RowHref(repo, id),
	} {
		if got, ok := l.Parse(text); ok {
			t.Errorf("Parse(%q) = %+v, want false", text, got)
		}
	}
}

func TestAddRefusesASecondViewOfATypeOrPath(t *testing.T) {
	t.Parallel()
	l, repo := serve()
	again := *repo
	again.Path = "repositories/file/other/"
	if l.Add(&again) {
		t.Error("Add of a type that is served already = true, want false")
	}
	if got := l.TypeNames(models.RepositoryMaster); len(got) != 1 || got[0] != "file.file" {
		t.Errorf("TypeNames = %v, want file.file", got)
	}
}

// Each word of ref= in a rest tag is a kind of the table, and the other way round.
func TestKindNamesAreTheTable(t *testing.T) {
	t.Parallel()
	l := links.New("/")
	for _, name := range links.KindNames() {
		if k := l.Kind(name); k == nil || k.Name != name || k.Table == "" {
			t.Errorf("kind %q = %+v", name, k)
		}
	}
	if n := len(l.Masters()); n != 6 {
		t.Errorf("there are %d masters, want 6", n)
	}
}
