package apitest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

const document = `{
	"openapi": "3.0.3", "info": {"title": "t", "version": "1"},
	"paths": {"/things/": {"post": {
		"operationId": "things_create",
		"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
		"responses": {
			"201": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ThingResponse"}}}},
			"204": {"description": ""},
			"4XX": {"description": "", "content": {"application/json": {"schema": {"type": "object", "properties": {
				"detail": {"type": "string"}}}}}}
		}
	}}},
	"components": {"schemas": {
		"Thing": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "minLength": 1}}},
		"ThingResponse": {"type": "object", "required": ["name"], "properties": {
			"name": {"type": "string", "enum": ["a", "b"]}, "href": {"type": "string", "format": "uri"},
			"when": {"type": "string", "format": "date-time", "nullable": true}, "secret": {"type": "string", "writeOnly": true},
			"inner": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}}
		}}
	}}
}`

func things(t *testing.T) *operation {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return operations(doc)["things_create"]
}

// TestCheckFindsWhatIsWrong checks answers, of which only the first agrees with the document.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := `{"name": "a", "href": "/x/", "when": null, "secret": "", "inner": [{"n": 1}]}`
	jsonType := "application/json"
	for _, tt := range []struct {
		name, typ, body string
		status          int
		want            string // part of the fault
	}{
		{"an undeclared status", jsonType, good, 200, "the status 200 is not declared"},
		{"another content type", "application/json; charset=utf-8", good, 201, "is not declared"},
		{"no JSON", jsonType, "<html>", 201, "no JSON"},
		{"a body where there is none", jsonType, good, 204, "a body that is not declared"},
		{"a member too many", jsonType, strings.Replace(good, "{", `{"more": 1, `, 1), 201, "answer.more is not declared"},
		{"a member too many inside", jsonType, strings.Replace(good, `"n": 1`, `"n": 1, "m": 1`, 1), 201, "answer.inner[0].m is not declared"},
		{"a required member missing", jsonType, strings.Replace(good, `"name": "a", `, "", 1), 201, `property "name" is missing`},
		{"a member missing", jsonType, strings.Replace(good, `"when": null, `, "", 1), 201, "answer.when is declared and missing"},
		{"a member missing inside", jsonType, strings.Replace(good, `"n": 1`, "", 1), 201, "answer.inner[0].n is declared and missing"},
		{"another type", jsonType, strings.Replace(good, `"n": 1`, `"n": "1"`, 1), 201, "must be an integer"},
		{"null", jsonType, strings.Replace(good, `"/x/"`, `null`, 1), 201, "not nullable"},
		{"no choice", jsonType, strings.Replace(good, `"a"`, `"c"`, 1), 201, "allowed values"},
		{"no time", jsonType, strings.Replace(good, `null`, `"noon"`, 1), 201, "date-time"},
		{"no URI", jsonType, strings.Replace(good, `"/x/"`, `"x"`, 1), 201, "is no URI"},
		{"what is written only", jsonType, good, 201, "writeOnly"},
		{"an error of another form", jsonType, `{"detail": 5}`, 404, "must be a string"},
	} {
		faults := things(t).check(tt.status, http.Header{"Content-Type": {tt.typ}}, []byte(tt.body), false)
		if !strings.Contains(strings.Join(faults, "; "), tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, faults, tt.want)
		}
	}
	shown := strings.Replace(good, `, "secret": ""`, "", 1)
	faults := things(t).check(http.StatusCreated, http.Header{"Content-Type": {jsonType}}, []byte(shown), true)
	if len(faults) > 0 {
		t.Errorf("a good answer: %q", faults)
	}
	faults = things(t).check(http.StatusCreated, http.Header{"Content-Type": {jsonType}}, []byte(`{"href": "/x/"}`), true)
	if len(faults) > 0 {
		t.Errorf("a part of a good answer: %q", faults)
	}
	if faults := things(t).checkBody(map[string]any{"name": ""}); len(faults) != 1 {
		t.Errorf("a body with an empty name: %q", faults)
	}
}
