package rest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// documents are the renderings of the API document, made when they are first asked for.
type documents struct {
	api    *API
	byHref func() ([]byte, error) // whole hrefs as path parameters, as Pulp's clients want them
	byPath func() ([]byte, error) // ordinary paths
}

func newDocuments(a *API) *documents {
	render := func(href bool) func() ([]byte, error) {
		return sync.OnceValues(func() ([]byte, error) { return json.Marshal(a.document(href)) })
	}
	return &documents{api: a, byHref: render(true), byPath: render(false)}
}

func (d *documents) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		d.api.writeError(w, r, refuse(http.StatusMethodNotAllowed, "Method \""+strings.ToValidUTF8(r.Method, "�")+
			"\" not allowed."))
		return
	}
	render := d.byHref
	if r.URL.Query().Has("pk_path") {
		render = d.byPath
	}
	b, err := render()
	if err != nil {
		d.api.writeError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the client is gone if this fails
}

// document writes the OpenAPI document from the operations.
func (a *API) document(href bool) *openapi3.T {
	doc := &openapi3.T{
		OpenAPI: "3.0.3",
		Info: &openapi3.Info{
			Title: "Pulp 3 API", Version: "v3", Description: "Fetch, Upload, Organize, and Distribute Software Packages",
			License:    &openapi3.License{Name: "Apache-2.0", URL: "https://www.apache.org/licenses/LICENSE-2.0"},
			Extensions: map[string]any{"x-pulp-app-versions": a.appVersions(), "x-pulp-domain-enabled": false},
		},
		Paths: openapi3.NewPaths(),
		Components: &openapi3.Components{
			Schemas: openapi3.Schemas{},
			SecuritySchemes: openapi3.SecuritySchemes{
				"basicAuth": {Value: openapi3.NewSecurityScheme().WithType("http").WithScheme("basic")},
			},
		},
	}
	for name, s := range a.schemas {
		doc.Components.Schemas[name] = s
	}
	for _, o := range a.ops {
		if o.paged {
			a.addPage(doc, o.answer)
		}
		doc.AddOperation(o.docPath(a.base, href), o.method, a.describe(o, href))
	}
	return doc
}

func (a *API) appVersions() map[string]string {
	if a.opts.Versions == nil {
		return map[string]string{}
	}
	return a.opts.Versions
}

// docPath is the path of an operation in the document.
func (o *operation) docPath(base string, href bool) string {
	if !href || o.entity == "" {
		return base + o.path
	}
	end := strings.LastIndex(o.path, "}/") + len("}/")
	return "{" + o.entity + "}" + o.path[end:]
}

// addPage adds the schema of lists of a schema.
func (a *API) addPage(doc *openapi3.T, answer string) {
	name := pageSchema(answer)
	if doc.Components.Schemas[name] != nil {
		return
	}
	link := func() *openapi3.Schema { return openapi3.NewStringSchema().WithFormat("uri").WithNullable() }
	s := openapi3.NewObjectSchema().WithProperty("count", openapi3.NewIntegerSchema()).
		WithProperty("next", link()).WithProperty("previous", link()).
		WithPropertyRef("results", a.schemas.arrayOf(answer)).WithRequired([]string{"count", "results"})
	doc.Components.Schemas[name] = openapi3.NewSchemaRef("", s)
}

func pageSchema(answer string) string { return "Paginated" + answer + "List" }

func (a *API) describe(o *operation, href bool) *openapi3.Operation {
	op := openapi3.NewOperation()
	op.OperationID, op.Tags, op.Summary = o.id, []string{o.tag}, o.summary
	if o.anonymous {
		op.Security = nil
	} else {
		op.Security = openapi3.NewSecurityRequirements().
			With(openapi3.NewSecurityRequirement().Authenticate("basicAuth"))
	}
	op.Parameters = openapi3.Parameters{}
	o.addPathParams(op, href)
	o.addQueryParams(op)
	if o.body != "" {
		op.RequestBody = &openapi3.RequestBodyRef{Value: a.requestBody(o)}
	}
	op.Responses = openapi3.NewResponsesWithCapacity(len(o.status))
	status := o.status
	if status == nil {
		status = []int{http.StatusOK}
	}
	for _, code := range status {
		op.Responses.Set(strconv.Itoa(code), &openapi3.ResponseRef{Value: a.response(o, code)})
	}
	if !o.anonymous {
		failed := openapi3.NewResponse().WithDescription("").WithJSONSchemaRef(a.schemas.ref("ErrorResponse"))
		op.Responses.Set("4XX", &openapi3.ResponseRef{Value: failed})
		op.Responses.Set("5XX", &openapi3.ResponseRef{Value: failed})
	}
	return op
}

func (o *operation) addPathParams(op *openapi3.Operation, href bool) {
	if href {
		if o.entity != "" {
			op.AddParameter(openapi3.NewPathParameter(o.entity).WithSchema(openapi3.NewStringSchema()))
		}
		return
	}
	if strings.Contains(o.path, "{pulp_id}") {
		op.AddParameter(openapi3.NewPathParameter("pulp_id").WithSchema(openapi3.NewUUIDSchema()))
	}
	if strings.Contains(o.path, "{number}") {
		op.AddParameter(openapi3.NewPathParameter("number").WithSchema(openapi3.NewIntegerSchema()))
	}
}

func (o *operation) addQueryParams(op *openapi3.Operation) {
	query := func(name, doc string, s *openapi3.Schema) {
		p := openapi3.NewQueryParameter(name).WithSchema(s).WithDescription(doc)
		if s.Type.Is("array") {
			p.Style, p.Explode = openapi3.SerializationForm, openapi3.Ptr(false)
		}
		op.AddParameter(p)
	}
	for _, p := range o.params {
		query(p.name, p.doc, p.schema())
	}
	words := openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
	if o.paged {
		query("limit", "Number of results to return per page.", openapi3.NewIntegerSchema())
		query("offset", "The initial index from which to return the results.", openapi3.NewIntegerSchema())
		if o.columns != nil {
			item := openapi3.NewStringSchema()
			for _, c := range o.columns {
				item.Enum = append(item.Enum, c, "-"+c)
			}
			query("ordering", "Ordering", openapi3.NewArraySchema().WithItems(item))
		}
	}
	if o.paged || o.fields {
		query("fields", "A list of fields to include in the response.", words)
		query("exclude_fields", "A list of fields to exclude from the response.", words)
	}
	if o.minimal {
		query("minimal", "Leave out what costs more to look up.", openapi3.NewBoolSchema())
	}
}

func (p *param) schema() *openapi3.Schema {
	s := openapi3.NewStringSchema()
	switch p.form {
	case boolFilter:
		s = openapi3.NewBoolSchema()
	case intFilter:
		s = openapi3.NewIntegerSchema()
	case timeFilter:
		s = openapi3.NewDateTimeSchema()
	}
	for _, c := range p.choices {
		s.Enum = append(s.Enum, c)
	}
	if p.array {
		return openapi3.NewArraySchema().WithItems(s)
	}
	return s
}

func (a *API) requestBody(o *operation) *openapi3.RequestBody {
	types := []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
	if o.file {
		types = []string{"multipart/form-data", "application/x-www-form-urlencoded"}
	}
	content := openapi3.Content{}
	for _, t := range types {
		content[t] = openapi3.NewMediaType().WithSchemaRef(a.schemas.ref(o.body))
	}
	required := len(a.schemas[o.body].Value.Required) > 0
	return openapi3.NewRequestBody().WithRequired(required).WithContent(content)
}

func (a *API) response(o *operation, code int) *openapi3.Response {
	r := openapi3.NewResponse().WithDescription("")
	schema := o.answer
	switch {
	case o.stream:
		return r.WithContent(openapi3.Content{
			"text/event-stream": openapi3.NewMediaType().WithSchema(openapi3.NewStringSchema()),
		})
	case code == http.StatusNoContent || schema == "" && code != http.StatusAccepted:
		return r
	case code == http.StatusForbidden:
		schema = "ErrorResponse"
	case code == http.StatusAccepted:
		schema = "AsyncOperationResponse"
	case o.paged:
		schema = pageSchema(o.answer)
	}
	return r.WithContent(openapi3.Content{
		"application/json": openapi3.NewMediaType().WithSchemaRef(
			openapi3.NewSchemaRef("#/components/schemas/"+schema, nil)),
	})
}
