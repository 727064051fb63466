package apitest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// walk is one walk through a document.
type walk struct {
	Server

	ops    map[string]*operation
	words  []string        // members of any body
	tried  map[string]bool // operations whose refusals were tried
	serial int             // makes names unique
}

// Walk makes requests of every operation that the API's document declares and fails for each answer that differs from
// it: a status that is not declared, a body that is not valid, members that are missing or not declared. Members of
// the bodies of requests, and their values, must be accepted if they are declared and refused if they are not. An
// operation that no case asks for fails, too: a new one needs a case in visit.
func Walk(t *testing.T, s Server) {
	t.Helper()
	w := &walk{Server: s, tried: map[string]bool{}}
	w.load(t)
	w.visit(t)
	for _, id := range slices.Sorted(maps.Keys(w.ops)) {
		w.ops[id].finish(t)
	}
}

func (w *walk) load(t *testing.T) {
	t.Helper()
	const docs = "docs"
	w.ops = map[string]*operation{docs: {path: "/pulp/api/v3/docs/api.json?pk_path=1", method: http.MethodGet}}
	doc, err := openapi3.NewLoader().LoadFromData(w.send(t, ask{op: docs, from: nobody}).raw)
	if err != nil {
		t.Fatal(err)
	}
	w.ops = operations(doc)
	words := map[string]bool{}
	for _, o := range w.ops {
		if s := o.body(); s != nil {
			for name := range s.Properties {
				words[name] = true
			}
		}
	}
	// Members that answers have, and one that no schema has, must be refused in bodies, too.
	w.words = append(slices.Sorted(maps.Keys(words)), "pulp_href", "prn", "pulp_created", "surprise")
}

func (w *walk) has(op string) bool { return w.ops[op] != nil }

// do makes a request that must get the wanted status, and compares the answer with the document. Before the first
// request of an operation it makes those that must be refused.
func (w *walk) do(t *testing.T, a ask) *got {
	t.Helper()
	o := w.ops[a.op]
	if o == nil {
		t.Fatalf("the document has no operation %s", a.op)
	}
	// Refused requests come first: one that has an effect all the same makes the good request fail.
	if !w.tried[a.op] {
		w.tried[a.op] = true
		w.refusals(t, a)
	}
	g := w.compare(t, a)
	if g.status < http.StatusBadRequest && a.body != nil {
		for name := range a.body {
			o.accepted[name] = true
		}
		if o.takesJSON() {
			for _, fault := range o.checkBody(a.body) {
				t.Errorf("%s: %s", a.op, fault)
			}
		}
	}
	return g
}

func (w *walk) compare(t *testing.T, a ask) *got {
	t.Helper()
	g := w.send(t, a)
	if g.status != a.want {
		t.Errorf("%s of %q%s with %v = %d, want %d: %.500s", a.op, a.at, a.query, a.body, g.status, a.want, g.raw)
	}
	sparse := strings.Contains(a.query, "minimal=") || strings.Contains(a.query, "fields=")
	for _, fault := range w.ops[a.op].check(g.status, g.header, g.raw, sparse) {
		t.Errorf("%s %d: %s", a.op, g.status, fault)
	}
	return g
}

// refusals makes the requests that an operation must refuse, each of which differs from a good one in one thing.
func (w *walk) refusals(t *testing.T, good ask) {
	t.Helper()
	o := w.ops[good.op]
	if o.Security == nil || len(*o.Security) == 0 {
		w.compare(t, ask{op: good.op, from: nobody, want: http.StatusOK})
		tooMany := "?fields=" + strings.Repeat("a,", 300)
		w.compare(t, ask{op: good.op, from: nobody, query: tooMany, want: http.StatusBadRequest})
		return
	}
	bad := good
	bad.from, bad.want = nobody, http.StatusUnauthorized
	w.compare(t, bad)
	bad.from, bad.want = user, http.StatusForbidden
	w.compare(t, bad)
	// A request that is refused anyway may be refused before its row is looked up.
	if o.hasKey() && good.want < http.StatusBadRequest {
		bad = good
		bad.at = nowhere(good.at)
		bad.want = http.StatusNotFound
		w.compare(t, bad)
	}
	if strings.HasSuffix(good.op, "_list") {
		g := w.compare(t, ask{op: good.op, at: good.at, query: "?surprise=1", want: http.StatusBadRequest})
		if !strings.Contains(string(g.raw), "Invalid Filter: 'surprise'") {
			t.Errorf("%s: %s", good.op, g.raw)
		}
		w.parameters(t, good)
	}
	if o.body() != nil {
		bad = good
		bad.typ, bad.want = "text/plain", http.StatusUnsupportedMediaType
		w.compare(t, bad)
		for typ := range o.RequestBody.Value.Content {
			bad = ask{op: good.op, at: good.at, body: map[string]any{"surprise": "1"}, typ: typ, want: http.StatusBadRequest}
			if g := w.compare(t, bad); fmt.Sprint(g.object["surprise"]) != "[Unexpected field]" {
				t.Errorf("%s as %s: %.300s", good.op, typ, g.raw)
			}
		}
		w.undeclared(t, good)
		w.wrongs(t, good)
	}
}

// nowhere returns an href like another one, of a row that does not exist.
func nowhere(href string) string {
	parts := strings.Split(href, "/")
	for i, part := range parts {
		if len(part) == 36 {
			parts[i] = "00000000-0000-0000-0000-000000000000"
		}
	}
	return strings.Join(parts, "/")
}

// parameters demands that a list accepts the names of all its parameters; it may refuse a value.
func (w *walk) parameters(t *testing.T, good ask) {
	t.Helper()
	for _, p := range w.ops[good.op].Parameters {
		if p.Value.In != openapi3.ParameterInQuery {
			continue
		}
		g := w.send(t, ask{op: good.op, at: good.at, query: "?" + p.Value.Name + "=1"})
		if g.status >= http.StatusInternalServerError || strings.Contains(string(g.raw), "Invalid Filter") {
			t.Errorf("%s?%s=1 = %d: %.200s", good.op, p.Value.Name, g.status, g.raw)
		}
	}
}

// undeclared sends members that the document does not declare for the body of an operation.
func (w *walk) undeclared(t *testing.T, good ask) {
	t.Helper()
	o := w.ops[good.op]
	for chunk := range slices.Chunk(w.words, 5) {
		bad := good
		bad.body = map[string]any{}
		for name, value := range good.body {
			if _, isFile := value.([]byte); !isFile {
				bad.body[name] = value
			}
		}
		var unknown []string
		for _, name := range chunk {
			if o.body().Properties[name] == nil {
				unknown = append(unknown, name)
				bad.body[name] = "x"
			}
		}
		if unknown == nil {
			continue
		}
		bad.want = http.StatusBadRequest
		g := w.compare(t, bad)
		for _, name := range unknown {
			if fmt.Sprint(g.object[name]) != "[Unexpected field]" {
				t.Errorf("%s with the member %q, which is not declared: %.300s", good.op, name, g.raw)
				return
			}
		}
	}
}

// wrongs gives each member of a body values that the document does not allow.
func (w *walk) wrongs(t *testing.T, good ask) {
	t.Helper()
	o := w.ops[good.op]
	if !o.takesJSON() {
		return
	}
	for name, s := range o.body().Properties {
		for _, value := range wrong(s.Value) {
			bad := good
			bad.body = maps.Clone(good.body)
			bad.body[name] = value
			bad.want = http.StatusBadRequest
			if g := w.compare(t, bad); g.object[name] == nil && g.object["non_field_errors"] == nil {
				t.Errorf("%s with %q = %.100v: %.300s", good.op, name, value, g.raw)
			}
		}
	}
}

// wrong returns values that a schema does not allow.
func wrong(s *openapi3.Schema) []any {
	var list []any
	if !s.Type.Is("object") {
		list = append(list, map[string]any{"odd": "x"})
	}
	if !s.Type.Is("array") {
		list = append(list, []any{"x"})
	}
	if !s.Type.Is("string") {
		list = append(list, "odd")
	} else {
		list = append(list, true)
	}
	if !s.Nullable {
		list = append(list, nil)
	}
	if s.Enum != nil {
		list = append(list, "no such choice")
	}
	if s.Min != nil {
		list = append(list, *s.Min-1)
	}
	if s.MinLength > 0 {
		list = append(list, strings.Repeat("x", int(s.MinLength-1)))
	}
	if s.MaxLength != nil {
		list = append(list, strings.Repeat("x", int(*s.MaxLength+1)))
	}
	if s.Items != nil {
		for _, item := range wrong(s.Items.Value) {
			list = append(list, []any{item})
		}
	}
	return list
}

// task runs the task that an answer names and returns its last resource.
func (w *walk) task(t *testing.T, g *got) string {
	t.Helper()
	href := g.str("task")
	if href == "" {
		t.Fatalf("no task was dispatched: %s", g.raw)
	}
	if err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := w.do(t, ask{op: "tasks_read", at: href, want: http.StatusOK})
	if done.str("state") != "completed" {
		t.Errorf("the task is %s", done.raw)
	}
	created, _ := done.object["created_resources"].([]any)
	if len(created) == 0 {
		return ""
	}
	return fmt.Sprint(created[len(created)-1])
}

// fill returns a body with all members that the document declares, but for those to be left out.
func (w *walk) fill(op string, given map[string]any, without ...string) map[string]any {
	body := map[string]any{}
	w.serial++
	for name, ref := range w.ops[op].body().Properties {
		value, ok := given[name]
		switch {
		case slices.Contains(without, name):
			continue
		case !ok:
			value = w.sample(name, ref.Value)
		}
		body[name] = value
	}
	return body
}

// sample returns a value that is good for a member of a body.
func (w *walk) sample(name string, s *openapi3.Schema) any {
	switch name {
	case "ca_cert", "client_cert", "client_key":
		return nil
	case "url", "proxy_url":
		return "http://x.example:1234/"
	case "retain_repo_versions", "retain_checkpoints":
		return 100
	case "pulp_labels":
		return map[string]any{"text": "x", "empty": "", "null": nil}
	case "headers":
		return []any{map[string]any{"X-Some": "value"}}
	case "jq_filter":
		return ".a"
	case "name", "base_path":
		return fmt.Sprint(name, w.serial)
	}
	switch {
	case s.Format == "binary":
		return []byte("a file")
	case s.Format == "date-time":
		return "2020-01-01T00:00:00Z"
	case s.Format == "uri" && s.Nullable:
		return nil
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Is("string"):
		return "X-" + strings.ReplaceAll(name, "_", "-")
	case s.Type.Is("integer"):
		return 1
	case s.Type.Is("number"):
		return 1.5
	case s.Type.Is("boolean"):
		return s.Default == true
	case s.Type.Is("array"):
		return []any{}
	case s.Type.Is("object") && !s.Nullable:
		return map[string]any{}
	}
	return nil
}
