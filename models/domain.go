package models

import "github.com/uptrace/bun"

// Domain is a tenant: rows of one domain are invisible in another. There is always one named "default".
type Domain struct {
	bun.BaseModel `bun:"table:core_domain,alias:dom" json:"-"`

	Base
	Name        string  `bun:"name"`
	Description *string `bun:"description"`
	Labels      Labels  `bun:"pulp_labels,type:jsonb"`
}

// DefaultDomain is the name of the domain that always exists.
const DefaultDomain = "default"
