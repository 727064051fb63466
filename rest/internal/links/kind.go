// Package links knows what hrefs and PRNs name: it has the table of the kinds of rows, writes links to rows, reads them
// and looks their rows up.
package links

import (
	"reflect"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/models"
)

// The kinds of rows that have no master. They are the words of ref= in a rest tag, and the models of PRNs.
const (
	Artifact  = "artifact"
	Version   = "repositoryversion"
	Task      = "task"
	TaskGroup = "taskgroup"
	Schedule  = "taskschedule"
	Worker    = "appstatus"
)

// Kind is a kind of row that links name: a master, or a table of the core.
type Kind struct {
	Name   string // as in ref= of a rest tag
	Path   string // of its collection, below the API's base: "repositories/"; empty for versions, which have no path
	Table  string
	Domain bool // its rows belong to domains

	// The rest is of masters only.

	Master  models.Master
	Go      reflect.Type // of what the rows of all types have
	Title   string       // of several, in the document
	Class   string       // of one: "Repository"
	Model   string       // of one in lists of all types, in the document
	Labels  bool         // its rows have labels
	Named   bool         // its rows have names
	Visible string       // condition under which rows are shown, with the table's alias m; empty for all
}

// kinds is the table. Masters are in the order of the document.
func kinds() []Kind {
	return append(masters(),
		Kind{Name: Version, Table: "core_repositoryversion", Domain: true},
		Kind{Name: Artifact, Path: "artifacts/", Table: "core_artifact", Domain: true},
		Kind{Name: Task, Path: "tasks/", Table: "core_task", Domain: true},
		Kind{Name: TaskGroup, Path: "task-groups/", Table: "core_taskgroup", Domain: true},
		Kind{Name: Schedule, Path: "task-schedules/", Table: "core_taskschedule", Domain: true},
		Kind{Name: Worker, Path: "workers/", Table: "core_worker"},
	)
}

func masters() []Kind {
	list := []Kind{
		{
			Master: models.ContentMaster, Go: reflect.TypeFor[models.Content](), Path: "content/", Title: "Content",
			Class: "Content", Model: "MultipleArtifactContent", Labels: true,
		},
		{
			Master: models.ContentGuardMaster, Go: reflect.TypeFor[models.ContentGuard](), Path: "contentguards/",
			Title: "Contentguards", Class: "ContentGuard", Named: true,
		},
		{
			Master: models.DistributionMaster, Go: reflect.TypeFor[models.Distribution](), Path: "distributions/",
			Title: "Distributions", Class: "Distribution", Labels: true, Named: true,
		},
		{
			Master: models.PublicationMaster, Go: reflect.TypeFor[models.Publication](), Path: "publications/",
			Title: "Publications", Class: "Publication", Visible: "m.complete",
		},
		{
			Master: models.RemoteMaster, Go: reflect.TypeFor[models.Remote](), Path: "remotes/", Title: "Remotes",
			Class: "Remote", Model: "GenericRemote", Labels: true, Named: true,
		},
		{
			Master: models.RepositoryMaster, Go: reflect.TypeFor[models.Repository](), Path: "repositories/",
			Title: "Repositories", Class: "Repository", Labels: true, Named: true, Visible: "NOT m.user_hidden",
		},
	}
	for i := range list {
		k := &list[i]
		k.Name, k.Table, k.Domain = string(k.Master), k.Master.Table(), true
		if k.Model == "" {
			k.Model = k.Class
		}
	}
	return list
}

// KindNames returns what the word ref= of a rest tag can be.
func KindNames() []string {
	return []string{
		string(models.ContentMaster), string(models.RepositoryMaster), string(models.RemoteMaster),
		string(models.PublicationMaster), string(models.DistributionMaster), string(models.ContentGuardMaster),
		Version, Artifact, Task, TaskGroup, Schedule, Worker,
	}
}

// IsKind reports whether name is one of [KindNames].
func IsKind(name string) bool { return slices.Contains(KindNames(), name) }

// Camel turns "rhsm_cert" into "RhsmCert".
func Camel(s string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '_' || r == '-' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// Snake turns "FileRepository" into "file_repository".
func Snake(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
