package models

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"
)

// Master is one of the kinds of row that a plugin can specialise. The plugin's struct embeds the master's struct;
// the shared columns live in the master's table, the plugin's own in a table beside it with the same key.
type Master string

// The masters.
const (
	ContentMaster      Master = "content"
	RepositoryMaster   Master = "repository"
	RemoteMaster       Master = "remote"
	PublicationMaster  Master = "publication"
	DistributionMaster Master = "distribution"
	ContentGuardMaster Master = "contentguard"
)

// MasterModel holds the columns that every master has.
type MasterModel struct {
	Base
	DomainID uuid.UUID `bun:"pulp_domain_id" json:"-"` // set from the DB handle when the row is inserted
	Type     string    `bun:"pulp_type" json:"-"`      // "<plugin>.<type>", set when the row is inserted
}

// Row is a row of a master's table in its most derived form: a pointer to a struct that embeds a master.
type Row interface {
	PulpID() uuid.UUID // the key
	PulpType() string  // "<plugin>.<type>"; empty before the row is inserted
	base() *Base
	model() *MasterModel
	master() Master
}

// Entity is satisfied by a pointer to a struct that embeds one of the masters, and by nothing else.
type Entity[T any] interface {
	*T
	Row
}

// Any content unit, repository and so on, whatever its plugin. The As… method returns the embedded master, so that a
// change to it is a change to the row.
type (
	// AnyContent is a content unit of any type.
	AnyContent interface {
		Row
		AsContent() *Content
	}
	// AnyRepository is a repository of any type.
	AnyRepository interface {
		Row
		AsRepository() *Repository
	}
	// AnyRemote is a remote of any type.
	AnyRemote interface {
		Row
		AsRemote() *Remote
	}
	// AnyPublication is a publication of any type.
	AnyPublication interface {
		Row
		AsPublication() *Publication
	}
	// AnyDistribution is a distribution of any type.
	AnyDistribution interface {
		Row
		AsDistribution() *Distribution
	}
	// AnyContentGuard is a content guard of any type.
	AnyContentGuard interface {
		Row
		AsContentGuard() *ContentGuard
	}
)

// PulpID returns the row's key.
func (m *MasterModel) PulpID() uuid.UUID { return m.ID }

// PulpType returns "<plugin>.<type>".
func (m *MasterModel) PulpType() string { return m.Type }

func (m *MasterModel) model() *MasterModel { return m }

// AsContent returns the embedded master.
func (c *Content) AsContent() *Content { return c }

// AsRepository returns the embedded master.
func (r *Repository) AsRepository() *Repository { return r }

// AsRemote returns the embedded master.
func (r *Remote) AsRemote() *Remote { return r }

// AsPublication returns the embedded master.
func (p *Publication) AsPublication() *Publication { return p }

// AsDistribution returns the embedded master.
func (d *Distribution) AsDistribution() *Distribution { return d }

// AsContentGuard returns the embedded master.
func (g *ContentGuard) AsContentGuard() *ContentGuard { return g }

func (*Content) master() Master      { return ContentMaster }
func (*Repository) master() Master   { return RepositoryMaster }
func (*Remote) master() Master       { return RemoteMaster }
func (*Publication) master() Master  { return PublicationMaster }
func (*Distribution) master() Master { return DistributionMaster }
func (*ContentGuard) master() Master { return ContentGuardMaster }

// Table returns the table of the master's columns.
func (m Master) Table() string { return "core_" + string(m) }

func (m Master) goType() reflect.Type {
	switch m {
	case ContentMaster:
		return reflect.TypeFor[Content]()
	case RepositoryMaster:
		return reflect.TypeFor[Repository]()
	case RemoteMaster:
		return reflect.TypeFor[Remote]()
	case PublicationMaster:
		return reflect.TypeFor[Publication]()
	case DistributionMaster:
		return reflect.TypeFor[Distribution]()
	default:
		return reflect.TypeFor[ContentGuard]()
	}
}

// Base holds the columns that every row has.
type Base struct {
	ID      uuid.UUID `bun:"pulp_id,pk" json:"-"`        // UUIDv7, made when the row is inserted if it is zero
	Created time.Time `bun:"pulp_created" json:"-"`      // UTC, microseconds; set when the row is inserted
	Updated time.Time `bun:"pulp_last_updated" json:"-"` // UTC, microseconds; set by every insert and update
}

// Labels are the user's own key/value pairs on a row. A value may be null, which is nil here. Nil is an empty set.
type Labels map[string]*string

// Scan implements [sql.Scanner]. Most rows have no labels, which costs no parser.
func (l *Labels) Scan(src any) error {
	var raw []byte
	switch src := src.(type) {
	case []byte:
		raw = src
	case string:
		raw = []byte(src)
	case nil:
		*l = nil
		return nil
	default:
		return fmt.Errorf("models: labels are read from JSON, not from %T", src)
	}
	*l = Labels{}
	if string(raw) == "{}" {
		return nil
	}
	return json.Unmarshal(raw, l)
}

func (b *Base) base() *Base { return b }

// stamp fills in what an insert needs.
func (b *Base) stamp(now time.Time) {
	if b.ID == uuid.Nil {
		b.ID = NewID()
	}
	if b.Created.IsZero() {
		b.Created = now
	}
	b.Updated = now
}

// NewID returns a fresh UUIDv7: the key of a new row. Keys made later sort later.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Now returns the time as both databases keep it: UTC, in microseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
