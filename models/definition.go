package models

import (
	"reflect"
)

// AnyType is a [Type] of any Go type: what a plugin lists, and what code that works on all types takes. Only [Define]
// makes one.
type AnyType interface {
	// Name returns "<plugin>.<type>", as in pulp_type.
	Name() string
	// Master returns which master the type specialises.
	Master() Master
	// New returns a pointer to a zero row of the type.
	New() Row
	definition() *definition
}

// Type ties a name to the Go struct of a plugin's model. It is immutable, so it can be a package variable that two
// Apps share; every operation takes the [DB] it works on.
type Type[T any] struct {
	def *definition
}

// definition holds the arguments of Define; a [Registry] checks it and derives the schema.
type definition struct {
	name     string
	goType   reflect.Type
	master   Master
	newRow   func() Row
	accepts  []*definition // content types that a repository may hold
	remotes  []*definition // remote types that a repository syncs from, or a distribution pulls from
	replace  bool          // units may get other bytes
	fallible []string      // faults noted by options, reported at Open
}

// Option adds a fact to a definition. Options are given once, in a plugin's package variables.
type Option func(*definition)

// Define declares that T, a struct that embeds one of the masters, is the model named "<plugin>.<type>". It never
// fails; Open reports every fault of every definition at once.
//
// Every exported field that the master does not have is a column of the type's own table, NULL for a pointer that is
// nil. Strings, booleans, numbers, time.Time, uuid.UUID, [secrets.EncryptedText] and []byte have a type in the
// database, anything else is kept as JSON. Fields may carry these tags:
//
//	json:"relative_path"  name on the wire; default the column. "-" hides the field from the API
//	bun:"rel_path"        column; default the field's name in snake case. "-" is none, and goes with no other tag
//	pulp:"natural,repo"   what the field is for, see below
//	rest:"required"       rules for requests, see package rest
//	doc:"…"               description in the API document
//
// The words of pulp are separated by commas:
//
//	natural     part of what identifies a row of the type within a domain (Django's unique_together); content needs
//	            one. The fields are strings, integers, booleans or UUIDs
//	repo        part of what identifies the slot that a unit takes in a repository version (Pulp's repo_key_fields). It
//	            may be a pointer, and nil equals nil
//	len=64      length of a string, in bytes; another length is Invalid
//	index       makes an index on the column, for queries that compare or sort by it. Natural and slot keys have theirs
//	index=name  makes the column part of the index of that name, in the order of the fields; a field may be in several
//
// Strings in keys and indexes have at most 2,000 bytes, and all columns of one together 2,500. A table that was
// released changes by a migration, see [NextMigration].
//
// Optional methods of *T are hooks: [Validator]; of content [RemoteUnit]; of a repository [VersionInitializer],
// [VersionFinalizer] and [VersionObserver]; those of distributions and guards are in package content. Open refuses a
// method with the name of a hook and another signature.
func Define[T any, P Entity[T]](name string, opts ...Option) *Type[T] {
	d := &definition{
		name:   name,
		goType: reflect.TypeFor[T](),
		master: P(new(T)).master(),
		newRow: func() Row { return P(new(T)) },
	}
	for _, o := range opts {
		o(d)
	}
	return &Type[T]{def: d}
}

// Accepts names the content types that a repository may hold.
func Accepts(types ...AnyType) Option {
	return func(d *definition) {
		if d.master != RepositoryMaster {
			d.fallible = append(d.fallible, "Accepts is for repositories; drop it from models.Define")
			return
		}
		for _, t := range types {
			if t.Master() != ContentMaster {
				d.fallible = append(d.fallible, "Accepts: "+t.Name()+" is no content type; leave it out")
				continue
			}
			d.accepts = append(d.accepts, t.definition())
		}
	}
}

// SyncsFrom names the remote types that a repository can sync from.
func SyncsFrom(types ...AnyType) Option {
	return func(d *definition) { d.from("SyncsFrom", RepositoryMaster, "repositories", types) }
}

// PullsFrom names the remote types that a distribution can pull units from when a client asks for them, see
// content.PullThrough. The API shows the column remote of such a distribution, and of no other.
func PullsFrom(types ...AnyType) Option {
	return func(d *definition) { d.from("PullsFrom", DistributionMaster, "distributions", types) }
}

// from adds the remote types that an option names, which is for one master.
func (d *definition) from(option string, m Master, masters string, types []AnyType) {
	if d.master != m {
		d.fallible = append(d.fallible, option+" is for "+masters+"; drop it from models.Define")
		return
	}
	for _, t := range types {
		if t.Master() != RemoteMaster {
			d.fallible = append(d.fallible, option+": "+t.Name()+" is no remote type; leave it out")
			continue
		}
		d.remotes = append(d.remotes, t.definition())
	}
}

// Replaceable allows to replace the files of the units of a content type: saving a unit that exists with other bytes
// gives its file the new artifact. Without it such a save fails with a [FileConflictError]. Every repository version
// and publication that has the unit serves the new bytes from then on, even if its index holds the old checksum. It
// therefore suits units that are referred to by name only.
func Replaceable() Option {
	return func(d *definition) {
		if d.master != ContentMaster {
			d.fallible = append(d.fallible, "Replaceable is for content; drop it from models.Define")
		}
		d.replace = true
	}
}

// Name returns "<plugin>.<type>".
func (t *Type[T]) Name() string { return t.def.name }

// Master returns which master T specialises.
func (t *Type[T]) Master() Master { return t.def.master }

// New returns a pointer to a zero T.
func (t *Type[T]) New() Row { return t.def.newRow() }

func (t *Type[T]) definition() *definition { return t.def }
