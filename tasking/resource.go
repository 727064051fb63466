package tasking

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Resource is a row, or any name that tasks agree on, which tasks reserve. Tasks that reserve the same resource run in
// the order of their dispatch, except that those which share it run side by side.
type Resource struct {
	name func(*models.Registry) (string, error)
}

// On returns rows as resources. Nil rows are left out.
func On(rows ...models.Row) []Resource {
	var list []Resource
	for _, row := range rows {
		if row == nil {
			continue
		}
		list = append(list, Resource{func(*models.Registry) (string, error) {
			if row.PulpType() == "" {
				return "", pulperr.Public(pulperr.Invalid, "a row that was not saved cannot be reserved; save it first")
			}
			return models.PRNOf(row), nil
		}})
	}
	return list
}

// OnRef returns rows, known by their references, as resources. Zero references are left out.
func OnRef[T any](refs ...models.Ref[T]) []Resource {
	var list []Resource
	for _, ref := range refs {
		if ref.IsZero() {
			continue
		}
		list = append(list, Resource{func(r *models.Registry) (string, error) { return models.RefPRN(r, ref) }})
	}
	return list
}

// Named returns names as resources: PRNs such as models.CorePRN("repositoryversion", id), or names that tasks agree on.
// These mean the same in all domains and to all plugins, so begin one with the name of your plugin, and put the id of
// the domain into it if it is meant for one: "file:<domain id>:index". Empty names are left out; no name may begin with
// "shared:" or be longer than 2000 bytes.
func Named(names ...string) []Resource {
	var list []Resource
	for _, name := range names {
		if name != "" {
			list = append(list, Resource{func(*models.Registry) (string, error) { return name, nil }})
		}
	}
	return list
}

// Resources are what a task reserves. A resource in both lists is exclusive.
type Resources struct {
	Exclusive []Resource // for this task alone
	Shared    []Resource // together with other tasks that share it
}

// ResourceUser is implemented by task arguments that know what their task reserves.
type ResourceUser interface {
	Resources() Resources
}

// resourceNames returns the names of what a task with some arguments reserves in the domain of db.
func resourceNames[A any](db *models.DB, args A, list Resources) ([]string, error) {
	if u, ok := any(args).(ResourceUser); ok {
		list = list.and(u.Resources())
	} else if u, ok := any(&args).(ResourceUser); ok {
		list = list.and(u.Resources())
	}
	domain := ""
	if d := db.Domain(); d != nil { // without one the dispatch fails
		domain = models.CorePRN("domain", d.ID)
	}
	return list.names(db.Registry(), domain)
}

func (r Resources) and(more Resources) Resources {
	return Resources{slices.Concat(r.Exclusive, more.Exclusive), slices.Concat(r.Shared, more.Shared)}
}

// maxResource is the longest name of a resource, in bytes.
const maxResource = 2000

// names returns the resources as the API shows them: exclusive ones first, shared ones with a prefix, each once.
// The domain is shared unless it is exclusive, which stops every other task in it.
func (r Resources) names(reg *models.Registry, domain string) ([]string, error) {
	exclusive, err := resolve(reg, r.Exclusive)
	if err != nil {
		return nil, err
	}
	shared, err := resolve(reg, r.Shared)
	if err != nil {
		return nil, err
	}
	var names []string
	seen := map[string]bool{}
	for _, name := range exclusive {
		if !seen[name] {
			names = append(names, name)
		}
		seen[name] = true
	}
	// Every task shares its domain, so that a task which has the domain exclusively waits for all of its tasks.
	for _, name := range append(shared, domain) {
		if !seen[name] {
			names = append(names, taskdb.SharedPrefix+name)
		}
		seen[name] = true
	}
	return names, nil
}

func resolve(r *models.Registry, list []Resource) ([]string, error) {
	names := make([]string, 0, len(list))
	for _, res := range list {
		if res.name == nil {
			continue
		}
		name, err := res.name(r)
		if err != nil {
			return nil, fmt.Errorf("tasking: resource: %w", err)
		}
		// The prefix marks shared resources in the task's row, and Postgres stores no text with a NUL.
		if strings.HasPrefix(name, taskdb.SharedPrefix) || models.HasNUL(name) || len(name) > maxResource {
			return nil, pulperr.Public(pulperr.Invalid,
				"%q cannot be the name of a resource: it begins with %q, contains a NUL or has more than %d bytes",
				name, taskdb.SharedPrefix, maxResource)
		}
		names = append(names, name)
	}
	return names, nil
}
