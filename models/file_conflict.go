package models

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// FileConflict is a file of an existing unit that was to be saved with other bytes.
type FileConflict struct {
	Content      AnyContent // the unit as it was given to SaveContents
	Key          string     // its natural key, for messages: "name=x version=1"
	RelativePath string
	Saved, Given string // sha256
}

// FileConflictError means that existing units were to be saved with other bytes. Their files stay as they are. It is of
// kind Conflict. [Replaceable] allows the replacement for a type.
type FileConflictError struct {
	Type  string // "<plugin>.<type>"
	Files []FileConflict
}

// Error names the first file and counts the others.
func (e *FileConflictError) Error() string {
	f := e.Files[0]
	text := fmt.Sprintf("%s unit %s: the file %q is saved with sha256 %s and cannot become %s, because repositories "+
		"and publications serve it; give the unit another natural key", e.Type, f.Key, f.RelativePath, f.Saved, f.Given)
	if n := len(e.Files) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more files)", n)
	}
	return text
}

// Unwrap returns pulperr.Conflict.
func (e *FileConflictError) Unwrap() error { return pulperr.Conflict }

// PublicText returns the same text as Error.
func (e *FileConflictError) PublicText() string { return e.Error() }

// conflictError describes files that have another artifact than was given.
func (s contentSaver) conflictError(ctx context.Context, units []*ContentWithFiles, differ []fileChange) error {
	ids := make([]uuid.UUID, 0, 2*len(differ))
	for _, d := range differ {
		ids = append(ids, d.saved, d.given)
	}
	var rows []*Artifact
	err := s.db.Bun().NewSelect().Model(&rows).Column("pulp_id", "sha256").Where("pulp_id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil {
		return rowError(err, "artifact", "of files that differ")
	}
	sha256 := make(map[uuid.UUID]string, len(rows))
	for _, a := range rows {
		sha256[a.ID] = a.SHA256
	}
	byID := make(map[uuid.UUID]AnyContent, len(units))
	for _, u := range units {
		byID[u.Content.PulpID()] = u.Content
	}
	e := &FileConflictError{Type: s.name}
	for _, d := range differ {
		c := byID[d.row.ContentID]
		e.Files = append(e.Files, FileConflict{
			Content: c, Key: s.natural.describe(c), RelativePath: d.row.RelativePath,
			Saved: sha256[d.saved], Given: sha256[d.given],
		})
	}
	return e
}
