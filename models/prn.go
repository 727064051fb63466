package models

import (
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// PRN is a Pulp Resource Name: "prn:<plugin>.<model>:<uuid>", for example
// "prn:file.filerepository:0198f6c2-…". It names any row, across types and for ever.
type PRN struct {
	Plugin string // "file"
	Model  string // "filerepository"
	ID     uuid.UUID
}

var prnForm = regexp.MustCompile(`^prn:([a-z][a-z0-9_-]*)\.([a-z][a-z0-9_]*):([0-9a-f-]{36})$`)

// ParsePRN reads a PRN.
//
// Errors: Invalid.
func ParsePRN(s string) (PRN, error) {
	m := prnForm.FindStringSubmatch(s)
	if m == nil {
		return PRN{}, pulperr.Public(pulperr.Invalid, "%q is not a PRN; write it as prn:<plugin>.<model>:<uuid>", s)
	}
	id, err := uuid.Parse(m[3])
	if err != nil {
		return PRN{}, pulperr.Public(pulperr.Invalid, "%q is not a PRN; write it as prn:<plugin>.<model>:<uuid>", s)
	}
	return PRN{Plugin: m[1], Model: m[2], ID: id}, nil
}

// String returns the name in its written form.
func (p PRN) String() string { return "prn:" + p.Plugin + "." + p.Model + ":" + p.ID.String() }

// PRNOf returns the name of a row that was saved or read.
func PRNOf(row Row) string {
	return TypedPRN(row.master(), row.PulpType(), row.PulpID())
}

// CorePRN returns the name of a row that has no plugin: CorePRN("repositoryversion", v.ID).
func CorePRN(model string, id uuid.UUID) string { return PRN{"core", model, id}.String() }

// TypedPRN returns the name of a row of which only master, pulp_type and key are known.
func TypedPRN(m Master, pulpType string, id uuid.UUID) string {
	return PRN{prnPlugin(pulpType), prnModel(pulpType, m), id}.String()
}

// PRNModel returns the model part of the PRNs of a type: "filerepository" for the repository type "file.file".
func PRNModel(t AnyType) string { return prnModel(t.Name(), t.Master()) }

func prnPlugin(pulpType string) string {
	plugin, _, _ := strings.Cut(pulpType, ".")
	return plugin
}

func prnModel(pulpType string, m Master) string {
	plugin, typ, _ := strings.Cut(pulpType, ".")
	// Pulp names its own types after their classes: PublishedMetadata, but RBACContentGuard.
	if plugin == corePlugin && m == ContentMaster {
		return typ
	}
	return strings.ReplaceAll(typ, "_", "") + string(m)
}
