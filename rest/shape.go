package rest

import (
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
)

// shape is what answers about the rows of a view, or of a master, look like.
type shape struct {
	model   string
	master  models.Master
	fields  []*field
	one     bool // content that consists of one artifact, whose digests are shown
	created []int
	updated []int
}

func newShape(model string, m models.Master, fields []*field) *shape {
	return &shape{model: model, master: m, fields: fields}
}

// masterShape is the shape of lists of all types of a master.
func masterShape(m models.Master) *shape {
	s := newShape(masterModel(m), m, masterFields(m))
	t := masterType(m)
	if f, ok := t.FieldByName("Created"); ok {
		s.created = f.Index
	}
	if f, ok := t.FieldByName("Updated"); ok {
		s.updated = f.Index
	}
	return s
}

func masterModel(m models.Master) string {
	switch m {
	case models.ContentMaster:
		return "MultipleArtifactContent"
	case models.RemoteMaster:
		return "GenericRemote"
	default:
		return masterClass(m)
	}
}

// locate finds the columns of every row that are not on the wire under their own name.
func (s *shape) locate(r *models.Registry, t models.AnyType) {
	for _, f := range r.Fields(t) {
		switch f.Column {
		case "pulp_created":
			s.created = f.Index
		case "pulp_last_updated":
			s.updated = f.Index
		}
	}
}

func (s *shape) single() { s.one = true }

func (s *shape) times(row any) (created, updated time.Time) {
	v := reflect.ValueOf(row).Elem()
	created, _ = v.FieldByIndex(s.created).Interface().(time.Time)
	updated, _ = v.FieldByIndex(s.updated).Interface().(time.Time)
	return created, updated
}

// input returns the fields that requests may set.
func (s *shape) input() []*field {
	var list []*field
	for _, f := range s.fields {
		if !f.readOnly {
			list = append(list, f)
		}
	}
	return list
}

// extra is a member of answers that is no field of the row.
type extra struct {
	name   string
	schema schemaKind
	doc    string
}

// extras lists the computed members in the order of answers, after the common ones.
func (s *shape) extras() []extra {
	switch s.master {
	case models.RepositoryMaster:
		return []extra{
			{"versions_href", uriSchema, "The versions of the repository."},
			{"latest_version_href", uriSchema, "The latest version."},
		}
	case models.RemoteMaster:
		return []extra{{"hidden_fields", hiddenSchema, "Write-only fields and whether they are set."}}
	case models.PublicationMaster:
		return []extra{
			{"repository_version", nullURISchema, "The version that is published."},
			{"repository", nullURISchema, "The repository of the version."},
			{"distributions", uriListSchema, "The distributions that serve the publication."},
		}
	case models.DistributionMaster:
		return []extra{
			{"base_url", stringSchema, "Where clients find the content."},
			{"content_guard_prn", nullStringSchema, "The PRN of the content guard."},
			{"no_content_change_since", nullStringSchema, "Since when what is served has not changed; null if unknown."},
		}
	case models.ContentMaster:
		if !s.one {
			return []extra{{"artifacts", mapSchema, "The artifacts by relative path."}}
		}
		list := []extra{{"artifact", nullURISchema, "The artifact, once it is stored."}}
		for _, alg := range digestOrder() {
			list = append(list, extra{string(alg), nullStringSchema, "The " + string(alg) + " digest of the file."})
		}
		return list
	}
	return nil
}

func digestOrder() []hashlib.Algorithm {
	return []hashlib.Algorithm{
		hashlib.MD5, hashlib.SHA1, hashlib.SHA224, hashlib.SHA256, hashlib.SHA384, hashlib.SHA512,
	}
}

// refOf returns the key that a reference field of a row holds, or false if it is null.
func (f *field) refOf(row any) (uuid.UUID, bool) {
	switch id := f.value(row).Interface().(type) {
	case uuid.UUID:
		return id, id != uuid.Nil
	case *uuid.UUID:
		if id != nil {
			return *id, true
		}
	}
	return uuid.Nil, false
}
