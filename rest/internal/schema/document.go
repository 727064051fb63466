package schema

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Operation is an entry of the document.
type Operation struct {
	Method   string
	Path     string // below the base; {pulp_id}, {nested_id} and {number} stand for keys
	Absolute bool   // Path is a whole one, whose wildcards stand for any text
	Entity   string // parameter that stands for the path up to the last key in the document for clients
	ID       string // operationId
	Tag      string
	Summary  string

	Params  []Parameter
	Columns []string // of ordering=; nil is none
	Paged   bool     // answers with a page of Answer
	Sparse  bool     // takes fields= and exclude_fields=

	Body      string // schema of the body; empty is none
	File      bool   // the body can carry a file
	Answer    string // schema of the answer; empty is none
	Status    []int  // default 200
	Accepted  string // schema of the answer with status 202; default AsyncOperationResponse
	Anonymous bool   // asks for no log-in
	Stream    bool   // answers with server-sent events
	Foreign   bool   // a plugin's own handler answers, so nothing is known of the answers
}

// Parameter is a parameter of a query.
type Parameter struct {
	Name   string
	Doc    string
	Schema *openapi3.Schema
}

// Document is the OpenAPI document of an API.
type Document struct {
	Base       string            // path of the API
	Versions   map[string]string // of the components
	Components *Components
	Operations []Operation
}

// Render writes the document. With hrefs the paths begin with a parameter for the whole href of a row, which Pulp's
// clients need; without they are ordinary paths.
func (d *Document) Render(hrefs bool) *openapi3.T {
	versions := d.Versions
	if versions == nil {
		versions = map[string]string{}
	}
	doc := &openapi3.T{
		OpenAPI: "3.0.3",
		Info: &openapi3.Info{
			Title: "Pulp 3 API", Version: "v3", Description: "Fetch, Upload, Organize, and Distribute Software Packages",
			License:    &openapi3.License{Name: "Apache-2.0", URL: "https://www.apache.org/licenses/LICENSE-2.0"},
			Extensions: map[string]any{"x-pulp-app-versions": versions, "x-pulp-domain-enabled": false},
		},
		Paths: openapi3.NewPaths(),
		Components: &openapi3.Components{
			// Two documents are made of the same components, and each adds the schemas of its pages.
			Schemas: maps.Clone(d.Components.schemas),
			SecuritySchemes: openapi3.SecuritySchemes{
				"basicAuth": {Value: openapi3.NewSecurityScheme().WithType("http").WithScheme("basic")},
			},
		},
	}
	for i := range d.Operations {
		o := &d.Operations[i]
		if o.Paged {
			doc.Components.Schemas[o.page()] = d.Components.page(o.Answer)
		}
		path, params := o.place(d.Base, hrefs)
		op := o.describe(d.Components)
		op.Parameters = append(params, op.Parameters...)
		doc.AddOperation(path, o.Method, op)
	}
	return doc
}

// page returns the schema of a page of answers.
func (c *Components) page(answer string) *openapi3.SchemaRef {
	link := func() *openapi3.Schema { return openapi3.NewStringSchema().WithFormat("uri").WithNullable() }
	s := openapi3.NewObjectSchema().WithProperty("count", openapi3.NewIntegerSchema()).
		WithProperty("next", link()).WithProperty("previous", link()).
		WithPropertyRef("results", c.list(answer)).WithRequired([]string{"count", "results"})
	return openapi3.NewSchemaRef("", s)
}

func (o *Operation) page() string { return "Paginated" + o.Answer + "List" }

// place returns the path of the operation in the document and its parameters.
func (o *Operation) place(base string, hrefs bool) (string, openapi3.Parameters) {
	var params openapi3.Parameters
	add := func(name string, s *openapi3.Schema) {
		params = append(params, &openapi3.ParameterRef{Value: openapi3.NewPathParameter(name).WithSchema(s)})
	}
	if hrefs && o.Entity != "" {
		add(o.Entity, openapi3.NewStringSchema())
		end := strings.LastIndex(o.Path, "}/") + len("}/")
		return "{" + o.Entity + "}" + o.Path[end:], params
	}
	if o.Absolute {
		for _, part := range strings.Split(o.Path, "{")[1:] {
			name, _, _ := strings.Cut(part, "}")
			add(name, openapi3.NewStringSchema())
		}
		return o.Path, params
	}
	if strings.Contains(o.Path, "{pulp_id}") && !hrefs {
		add("pulp_id", openapi3.NewUUIDSchema())
	}
	if strings.Contains(o.Path, "{nested_id}") && !hrefs {
		add("nested_id", openapi3.NewUUIDSchema())
	}
	if strings.Contains(o.Path, "{number}") && !hrefs {
		add("number", openapi3.NewIntegerSchema())
	}
	return base + o.Path, params
}

func (o *Operation) describe(c *Components) *openapi3.Operation {
	op := openapi3.NewOperation()
	op.OperationID, op.Tags, op.Summary = o.ID, []string{o.Tag}, o.Summary
	op.Parameters = openapi3.Parameters{}
	for _, p := range o.query() {
		v := openapi3.NewQueryParameter(p.Name).WithSchema(p.Schema).WithDescription(p.Doc)
		if p.Schema.Type.Is("array") {
			// Filters take the values of a list with commas between them, not as repeated parameters.
			v.Style, v.Explode = openapi3.SerializationForm, openapi3.Ptr(false)
		}
		op.AddParameter(v)
	}
	if o.Body != "" {
		op.RequestBody = &openapi3.RequestBodyRef{Value: o.body(c)}
	}
	if !o.Anonymous {
		op.Security = openapi3.NewSecurityRequirements().
			With(openapi3.NewSecurityRequirement().Authenticate("basicAuth"))
	}
	op.Responses = o.responses(c)
	return op
}

// responses describes the answers of the operation.
func (o *Operation) responses(c *Components) *openapi3.Responses {
	if o.Foreign {
		answer := openapi3.NewResponse().WithDescription("").WithContent(openapi3.Content{"*/*": openapi3.NewMediaType()})
		return openapi3.NewResponses(openapi3.WithName("default", answer))
	}
	status := o.Status
	if status == nil {
		status = []int{http.StatusOK}
	}
	list := openapi3.NewResponsesWithCapacity(len(status) + 2)
	for _, code := range status {
		list.Set(strconv.Itoa(code), &openapi3.ResponseRef{Value: o.response(code)})
	}
	// Any operation may fail with most of these statuses, so they are declared as two classes.
	failed := openapi3.NewResponse().WithDescription("").WithJSONSchemaRef(c.ref("ErrorResponse"))
	list.Set("4XX", &openapi3.ResponseRef{Value: failed})
	list.Set("5XX", &openapi3.ResponseRef{Value: failed})
	return list
}

// query returns the query parameters of an operation: its own, and those for pages, order and fields where it has them.
func (o *Operation) query() []Parameter {
	list := slices.Clone(o.Params) // operations may share the slice
	words := openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
	if o.Paged {
		list = append(list,
			Parameter{"limit", "Number of results to return per page.", openapi3.NewIntegerSchema()},
			Parameter{"offset", "The initial index from which to return the results.", openapi3.NewIntegerSchema()})
	}
	if o.Columns != nil {
		item := openapi3.NewStringSchema()
		for _, c := range o.Columns {
			item.Enum = append(item.Enum, c, "-"+c)
		}
		list = append(list, Parameter{"ordering", "Ordering", openapi3.NewArraySchema().WithItems(item)},
			Parameter{"q", "Filter results by using NOT, AND and OR operations on other filters.", openapi3.NewStringSchema()})
	}
	if o.Paged || o.Sparse {
		list = append(list, Parameter{"fields", "A list of fields to include in the response.", words},
			Parameter{"exclude_fields", "A list of fields to exclude from the response.", words})
	}
	return list
}

func (o *Operation) body(c *Components) *openapi3.RequestBody {
	types := []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
	if o.File {
		types = []string{"multipart/form-data", "application/x-www-form-urlencoded"}
	}
	content := openapi3.Content{}
	for _, t := range types {
		content[t] = openapi3.NewMediaType().WithSchemaRef(c.ref(o.Body))
	}
	// A body without required members may be left out.
	required := len(c.schemas[o.Body].Value.Required) > 0
	return openapi3.NewRequestBody().WithRequired(required).WithContent(content)
}

func (o *Operation) response(code int) *openapi3.Response {
	r := openapi3.NewResponse().WithDescription("")
	schema := o.Answer
	switch {
	case o.Stream:
		return r.WithContent(openapi3.Content{
			"text/event-stream": openapi3.NewMediaType().WithSchema(openapi3.NewStringSchema()),
		})
	case code == http.StatusForbidden:
		schema = "ErrorResponse"
	case code == http.StatusAccepted && o.Accepted != "":
		schema = o.Accepted
	case code == http.StatusAccepted:
		schema = "AsyncOperationResponse"
	case code == http.StatusNoContent || schema == "":
		return r
	case o.Paged:
		schema = o.page()
	}
	return r.WithContent(openapi3.Content{
		"application/json": openapi3.NewMediaType().WithSchemaRef(
			openapi3.NewSchemaRef("#/components/schemas/"+schema, nil)),
	})
}
