package rest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// operation is one thing that the API does: a route, and an entry of the document.
type operation struct {
	schema.Operation
	handle handler
}

// permission is what an account needs for a request that the operation serves.
func (e *endpoint) permission(r *http.Request, o *operation) *Permission {
	p := &Permission{Type: e.typ, HTTP: r}
	if o != nil {
		p.Operation = o.ID
	}
	// A malformed key is answered with 404 by the operation, which says of what class the row is missing.
	p.Row, _ = links.ParseID(chi.URLParam(r, "pulp_id"))
	return p
}

// handler does the work of an operation. It returns nil if it has written the answer itself.
type handler func(ctx context.Context, q *request) (*reply, error)

// reply is an answer.
type reply struct {
	status   int // 0 is 200
	body     any // nil is none
	location string
}

func (r *reply) write(w http.ResponseWriter) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.location != "" {
		w.Header().Set("Location", r.location)
	}
	if r.body == nil {
		w.WriteHeader(r.status)
		return
	}
	wire.WriteJSON(w, r.status, r.body)
}

// endpoint serves the operations of one path, so that every other method is answered with 405.
type endpoint struct {
	gate     *gate
	site     *site
	byMethod map[string]*operation
	typ      string // of the rows; "" for those of the core
	allow    string // the header
	open     bool   // even a client without an account may learn which methods there are
}

func newEndpoint(g *gate, s *site, path string, byMethod map[string]*operation) *endpoint {
	e := &endpoint{gate: g, site: s, typ: s.typeAt(path), byMethod: byMethod, open: true}
	methods := slices.Sorted(maps.Keys(byMethod))
	if byMethod["GET"] != nil {
		methods = append(methods, "HEAD")
	}
	e.allow = strings.Join(append(methods, "OPTIONS"), ", ")
	for _, o := range byMethod {
		e.open = e.open && o.Anonymous
	}
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Django REST framework sends Allow with each answer of a view.
	w.Header().Set("Allow", e.allow)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	o := e.byMethod[method]
	// A client without an account does not learn the faults of its query: admit comes before everything else.
	access := Authorized
	if e.open || o != nil && o.Anonymous {
		access = Anybody
	}
	p := e.permission(r, o)
	r, err := e.gate.admit(r, access, p)
	if err != nil {
		wire.WriteError(w, r, e.site.log, err)
		return
	}
	answer, err := e.answer(w, r, o, p)
	switch {
	case err != nil:
		wire.WriteError(w, r, e.site.log, err)
	case answer != nil:
		answer.write(w)
	}
}

func (e *endpoint) answer(w http.ResponseWriter, r *http.Request, o *operation, p *Permission) (*reply, error) {
	if r.Method == http.MethodOptions {
		return &reply{status: http.StatusNoContent}, nil
	}
	if o == nil {
		return nil, notAllowed(r)
	}
	q := &request{site: e.site, w: w, r: r, db: e.site.db, user: p.User, permission: p}
	if p.User != nil {
		var err error
		if q.visible, err = e.gate.visible(p); err != nil {
			return nil, err
		}
	}
	// Every operation takes fields= and exclude_fields=, also those whose document does not have them.
	if r.URL.RawQuery != "" {
		fields, err := wire.ReadFields(r.URL.Query())
		if err != nil {
			return nil, err
		}
		q.fields = fields
	}
	return o.handle(r.Context(), q)
}

func notAllowed(r *http.Request) error {
	return wire.Refuse(http.StatusMethodNotAllowed, fmt.Sprintf("Method \"%s\" not allowed.",
		strings.ToValidUTF8(r.Method, "�")))
}

// parameters describes the parameters of a list.
func parameters(params []*query.Param) []schema.Parameter {
	list := make([]schema.Parameter, len(params))
	for i, p := range params {
		list[i] = schema.Parameter{Name: p.Name, Doc: p.Doc, Schema: p.Schema()}
	}
	return list
}
