package rest

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Authorizer decides what accounts may do. The API asks it before each operation and before each [Route] that is not
// open, and for the rows that a list may show. It must be safe for concurrent use.
//
// Without one, superusers may do everything and other accounts nothing. The API does not ask it about operations
// without a log-in, such as the status.
type Authorizer interface {
	// Authorize returns nil if the account may do what p describes.
	//
	// Errors: Forbidden, answered with 403 and its public text; NotFound for a row that must not show that it exists;
	// anything else is a fault of the authorizer and answered with 500.
	Authorize(ctx context.Context, p *Permission) error
	// Visible returns the rows that an operation may read, or nil for all of them. Lists leave the others out, and their
	// hrefs are answered with 404.
	//
	// Errors: as Authorize.
	Visible(ctx context.Context, p *Permission) (*Visible, error)
}

// Permission is what an account asks for.
type Permission struct {
	User *accounts.User // never nil
	// Operation is the operationId of the API document: "repositories_file_file_sync", "tasks_cancel",
	// "distributions_file_file_list". For a [Route] it is "route " and the route's path or pattern, and "" for a method
	// that a path does not have.
	Operation string
	Type      string    // of the rows, as given to models.Define: "file.file"; "" for the core's own, such as tasks
	Row       uuid.UUID // the key of the row that the path names; uuid.Nil for an operation on the list
	// Field is "" for the row itself. Else the request has a field of this name, which refers to a row of another
	// resource: Kind and Row name that one, and Type is empty. A client that may not use the row must not learn what is in
	// it by way of another.
	Field string
	Kind  string // "repository", "remote", "contentguard" and so on, as in the tag ref; only with Field

	HTTP *http.Request
}

// Visible is a set of rows.
type Visible struct {
	// Keys is a SELECT of one column, the keys of the rows, with question marks for Args.
	Keys string
	Args []any
}

// apply narrows a statement whose rows have the alias. A nil Visible is all rows.
func (v *Visible) apply(sel *bun.SelectQuery, alias string) *bun.SelectQuery {
	if v == nil {
		return sel
	}
	return sel.Where("?.pulp_id IN (?)", bun.Ident(alias), bun.SafeQuery(v.Keys, v.Args...))
}

// conds returns the set as conditions on rows of a master.
func (v *Visible) conds() []models.Cond {
	if v == nil {
		return nil
	}
	return []models.Cond{models.Where("m.pulp_id IN (?)", bun.SafeQuery(v.Keys, v.Args...))}
}

// SuperusersOnly is the default [Authorizer]: superusers may do everything and other accounts nothing.
func SuperusersOnly() Authorizer { return superusers{} }

type superusers struct{}

// Authorize implements [Authorizer].
func (superusers) Authorize(_ context.Context, p *Permission) error {
	if !p.User.IsSuperuser {
		return wire.Refuse(http.StatusForbidden, wire.MsgForbidden)
	}
	return nil
}

// Visible implements [Authorizer].
func (superusers) Visible(context.Context, *Permission) (*Visible, error) { return nil, nil }
