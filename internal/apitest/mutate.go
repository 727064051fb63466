package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// pair is a member of a body: its name, and its value as JSON, which may be malformed.
type pair struct{ name, value string }

func jsonOf(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(raw)
}

// goodMembers returns a body that an operation should take.
func (p *probe) goodMembers(o *operation) []pair {
	given := map[string]any{"states": []any{"completed"}, "state": "canceled", "finished_before": "2020-01-01T00:00:00Z"}
	if o.OperationID == "publications_"+file+"_create" {
		given["repository"] = p.first("/repositories/" + "file/file/")
	}
	if strings.HasSuffix(o.OperationID, "_sync") {
		given["remote"] = p.first("/remotes/")
	}
	given["downloader_config"], given["overwrite"] = map[string]any{"username": "u", "password": "p"}, true
	given["artifacts"] = map[string]any{"a": p.artifact}
	without := []string{"file_url", "artifact", "base_version", "repository_version"}
	if given["repository"] == nil {
		without = append(without, "repository")
	}
	body := p.fill(o.OperationID, given, without...)
	// The texts of digests must be those of the file.
	for name := range body {
		switch {
		case strings.HasPrefix(name, "sha") || name == "md5" || name == "size":
			delete(body, name)
		}
	}
	return pairsOf(body)
}

func pairsOf(body map[string]any) []pair {
	var list []pair
	for _, name := range slices.Sorted(maps.Keys(body)) {
		list = append(list, pair{name, jsonOf(body[name])})
	}
	return list
}

// first returns the first href that contains a text.
func (p *probe) first(part string) string {
	i := slices.IndexFunc(p.hrefs, func(href string) bool {
		return strings.Contains(href, part) && !strings.Contains(href, "versions")
	})
	return p.hrefs[max(i, 0)]
}

// encodeMembers writes a body in the form that an operation takes.
func (p *probe) encodeMembers(o *operation, members []pair) (body []byte, typ string) {
	if o.takesJSON() {
		return objectOf(members), "application/json"
	}
	return formOf(members, o.body())
}

func objectOf(members []pair) []byte {
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = jsonOf(m.name) + ": " + m.value
	}
	return []byte("{" + strings.Join(parts, ", ") + "}")
}

// textOf returns the text that a form has for a value.
func textOf(value string) string {
	var text string
	if json.Unmarshal([]byte(value), &text) == nil {
		return text
	}
	return value
}

// formOf writes members as the parts of a form; those of the format binary become files.
func formOf(members []pair, schema *openapi3.Schema) (body []byte, typ string) {
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	for _, m := range members {
		if m.value == "null" {
			continue // a form has no null
		}
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q", m.name))
		if prop := schema.Properties[m.name]; prop != nil && prop.Value.Format == "binary" {
			h.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q; filename=\"x.bin\"", m.name))
		}
		// The buffer takes all that is written to it.
		if part, err := form.CreatePart(h); err == nil {
			_, _ = part.Write([]byte(textOf(m.value)))
		}
	}
	_ = form.Close()
	return buf.Bytes(), form.FormDataContentType()
}

// refuseStrangers makes the good request without an account, and with an account without rights.
func (p *probe) refuseStrangers(t *testing.T, good shot) {
	t.Helper()
	if good.o.open() {
		return
	}
	for from, want := range map[who]int{nobody: http.StatusUnauthorized, user: http.StatusForbidden} {
		s := good
		if from == user && !strings.HasPrefix(good.path, base) {
			continue // a route may let in every account
		}
		s.what, s.from, s.want = "without rights", from, want
		p.at(t, s)
	}
}

// wrongMethods asks with methods that the path does not have.
func (p *probe) wrongMethods(t *testing.T, good shot) {
	t.Helper()
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"} {
		// A route takes the methods of its pattern, and the document has only one of them.
		if slices.Contains(p.methods[good.o.path], method) || !strings.HasPrefix(good.path, base) {
			continue
		}
		s := good
		s.what, s.method, s.want = "a wrong method "+method, method, http.StatusMethodNotAllowed
		p.at(t, s)
		allow := strings.Split(p.shoot(t, s).header.Get("Allow"), ", ")
		for _, m := range p.methods[good.o.path] {
			if !slices.Contains(allow, m) {
				t.Errorf("%s %s: Allow = %q, want %s in it", method, good.path, allow, m)
				p.faults++
			}
		}
	}
}

// wrongKeys asks for rows that do not exist or lie in another domain, and with keys that are malformed.
func (p *probe) wrongKeys(good shot) (list []shot) {
	if !good.o.hasKey() || !strings.HasPrefix(good.path, base) {
		return nil
	}
	end := strings.LastIndex(good.o.path, "}/") + len("}/")
	tail := good.o.path[end:]
	head := strings.TrimSuffix(strings.TrimSuffix(good.path, tail), "/")
	dir := head[:strings.LastIndex(head, "/")+1]
	key := head[len(dir):]
	for _, wrong := range []string{
		"x", "0", "-1", "%00", "%FF", "%2e%2e", strings.ToUpper(key) + "0", "%7B" + key + "%7D", "+" + key, key + "%20",
		key + "%00",
		"00000000-0000-0000-0000-000000000000", strings.Repeat("9", 30), strings.Repeat("a", 4000), "é", "%25", "*",
		strings.ReplaceAll(key, "-", "") + "-",
	} {
		s := good
		// A number is a version's key, and 0 is the first one.
		s.what, s.path, s.refused = "a wrong key", dir+wrong+"/"+tail, wrong != "0"
		list = append(list, s)
	}
	for _, href := range p.Foreign {
		if path.Dir(path.Clean(href))+"/" == dir {
			s := good
			s.what, s.path, s.refused = "a row of another domain", href+tail, true
			list = append(list, s)
		}
	}
	return list
}

// wrongTexts are values of parameters that few of them take.
func (p *probe) wrongTexts() []string {
	return []string{
		"", " ", "x", "\x00", "a\x00b", "\xff", "é", "-1", "0", "1.5", "99999999999999999999", "9223372036854775807",
		"true", "null",
		",", ",,,", "1,2,3", "a,b", strings.Repeat("x", 9000), strings.Repeat("a,", 10_001), "%", "'", "\"; --", "?0",
		"\\", "[", "(?",
		"2020-01-01", "2020-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "pulp_href", "a\nb",
		"a=b,!c~d",
		"prn:core.artifact:x", "prn:file.fileremote:00000000-0000-0000-0000-000000000000", p.first("/remotes/"),
		p.first("/content/"),
		p.first("/repositories/") + "versions/0/", p.first("/repositories/") + "versions/99/", p.first("/tasks/"),
		p.first("/artifacts/"),
		"/pulp/api/v3/", "//", "http://[",
	}
}

// wrongQueries gives each parameter of an operation values that few parameters take, and malformed queries.
func (p *probe) wrongQueries(good shot) (list []shot) {
	if good.o.method != http.MethodGet || !strings.HasPrefix(good.path, base) {
		return nil
	}
	texts := p.wrongTexts()
	for _, ref := range good.o.Parameters {
		if ref.Value.In != openapi3.ParameterInQuery {
			continue
		}
		for _, text := range texts {
			s := good
			s.what, s.query = "a parameter", "?"+url.Values{ref.Value.Name: {text}}.Encode()
			list = append(list, s)
		}
	}
	deep := strings.Repeat("(", 100) + "name=x" + strings.Repeat(")", 100)
	for _, query := range []string{
		"?%zz", "?a=%zz", "?;", "?=", "?&&&", "?limit=1&limit=2&offset=0", "?fields=a&fields=b",
		"?fields=" + strings.Repeat("a,", 300),
		"?exclude_fields=pulp_href,name", "?surprise=1", "?ordering=-,--name,+name", "?q=" + url.QueryEscape(deep),
		"?q=" + url.QueryEscape(strings.Repeat("NOT ", 2000)+"name=x"),
		"?q=" + url.QueryEscape(strings.Repeat("name=x OR ", 500)+"name=x"),
		"?q=(", "?q=)", "?q=name", "?q=name%3D", "?q=AND", "?q=name%3D%22", "?q=nope%3D1", "?q=%00", "?q=%FF",
		"?limit=0&offset=-1",
	} {
		s := good
		s.what, s.query = "a query", query
		list = append(list, s)
	}
	return list
}

// wrongBodies sends malformed bodies, bodies of wrong content types, and gives each member values that few members
// take.
func (p *probe) wrongBodies(good shot) (list []shot) {
	list = append(p.malformed(good), p.parts(good)...)
	members := p.goodMembers(good.o)
	required := good.o.body().Required
	for _, name := range slices.Sorted(maps.Keys(good.o.body().Properties)) {
		rest := slices.DeleteFunc(slices.Clone(members), func(m pair) bool { return m.name == name })
		s := good
		s.what = "without " + name
		s.body, s.typ = p.encodeMembers(good.o, rest)
		s.refused = slices.Contains(required, name) && good.o.method != http.MethodPatch
		list = append(list, s)
		for _, value := range p.values(name) {
			s := good
			s.what = "a value of " + name
			s.body, s.typ = p.encodeMembers(good.o, append(slices.Clone(rest), pair{name, value}))
			list = append(list, s)
		}
	}
	for _, name := range []string{"surprise", "pulp_href", "pulp_created", "prn", "", "\x00", "é", "a\nb", strings.Repeat("n", 3000)} {
		s := good
		s.what, s.refused = "an unknown member", good.o.body().Properties[name] == nil
		s.body, s.typ = p.encodeMembers(good.o, append(slices.Clone(members), pair{name, `"x"`}))
		if good.o.takesJSON() || name != "" && !strings.ContainsAny(name, "\x00\n") {
			list = append(list, s)
		}
	}
	return list
}

// malformed sends bodies that are not what their content type says, or of a type that the operation does not take.
func (p *probe) malformed(good shot) (list []shot) {
	const asJSON, asForm, asParts = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, s := range []shot{
		{typ: asJSON, body: []byte(`[]`)}, {typ: asJSON, body: []byte(`"x"`)}, {typ: asJSON, body: []byte(`1`)},
		{typ: asJSON, body: []byte(`{`)}, {typ: asJSON, body: []byte(`{"a": 1}}`)}, {typ: asJSON, body: []byte(`{"a" 1}`)},
		{typ: asJSON, body: []byte("{\"a\": \"\xff\"}")}, {typ: asJSON, body: []byte("\xff\xfe{\x00}\x00")}, {typ: asJSON, body: []byte("\x00")},
		{typ: asJSON, body: []byte(deep)}, {typ: asJSON, body: []byte(`{"a": ` + deep + `}`)}, {typ: asJSON, body: []byte(`{'a': 1}`)},
		{typ: asJSON, body: []byte(`{"a": 1, "a": 2}`)}, {typ: asJSON, body: []byte("\ufeff{}x")}, {typ: asJSON, body: []byte(`NaN`)},
		{typ: asForm, body: []byte("%zz=1")}, {typ: asForm, body: []byte("a=%ff%00")}, {typ: asForm, body: []byte(";;;a")},
		{typ: "multipart/form-data", body: []byte("x")}, {typ: "multipart/form-data; boundary=\"", body: []byte("x")},
		{typ: asParts, body: []byte("x")}, {typ: asParts, body: []byte("--b\r\n\r\nx")}, {typ: asParts, body: []byte("--b\r\nContent-")},
		{typ: "text/plain", body: []byte("{}")}, {typ: "application/xml", body: []byte("<a/>")}, {typ: "x",
			body: []byte("{}")},
		{typ: "application/json; charset", body: []byte("{}")}, {typ: ";;;", body: []byte("{}")},
	} {
		s.what, s.o, s.path, s.from, s.refused = "a malformed body", good.o, good.path, admin, true
		list = append(list, s)
	}
	for _, s := range []shot{
		{typ: asJSON, body: []byte{}}, {typ: asJSON, body: []byte("  ")}, {typ: asJSON, body: []byte("{}")}, {typ: asJSON, body: []byte("null")},
		{typ: asForm, body: []byte{}}, {typ: asParts, body: []byte("--b--\r\n")}, {typ: "", body: []byte("{}")},
		{typ: "", body: nil},
	} {
		s.what, s.o, s.path, s.from = "an empty body", good.o, good.path, admin
		list = append(list, s)
	}
	s := good
	s.what, s.typ = "JSON in another charset", "application/json; charset=utf-16"
	list = append(list, s)
	return list
}

// parts sends forms whose parts are missing, repeated or without a name.
func (p *probe) parts(good shot) (list []shot) {
	const part = "--b\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n"
	for _, text := range []string{
		fmt.Sprintf(part, `"file"; filename="a"`, "1") + fmt.Sprintf(part, `"file"; filename="b"`, "2"),
		fmt.Sprintf(part, `"file"`, "no file name"), fmt.Sprintf(part, `"file"; filename=""`, "x"),
		fmt.Sprintf(part, `"other"; filename="a"`, "x"), fmt.Sprintf(part, `""; filename="a"`, "x"),
		fmt.Sprintf(part, `""`, "x"),
		fmt.Sprintf(part, "\"file\"; filename=\"\x00\xff/../a\"", "x"), fmt.Sprintf(part, `"name"`, "\xff"),
		fmt.Sprintf(part, `"name"`, "\x00"),
		"--b\r\n\r\nno header\r\n", "--b\r\nContent-Disposition: attachment; filename=a\r\n\r\nx\r\n",
		strings.Repeat(fmt.Sprintf(part, `"name"`, "x"), 3), strings.Repeat(fmt.Sprintf(part, `"relative_path"`, "x"), 3),
	} {
		s := good
		s.what, s.typ, s.refused = "a form", "multipart/form-data; boundary=b", true
		s.body = []byte(text + "--b--\r\n")
		// The name alone may be all that an operation needs.
		s.refused = s.refused && !strings.Contains(text, `name="name"`) && !strings.Contains(text, `name="file"; filename="`) &&
			!strings.Contains(text, "\"file\"; filename=\"\x00")
		list = append(list, s)
	}
	return list
}

// values returns values of a member as JSON: wrong ones, and such as few members take.
func (p *probe) values(name string) []string {
	list := []string{
		`null`, `""`, `" "`, `true`, `-1`, `0`, `1.5`, `1e400`, `-1e-400`, `99999999999999999999999`, `2147483648`,
		`9223372036854775807`, `[]`, `[null]`, `[[]]`, `["x"]`, `[1]`, `["*"]`, `{}`, `{"a": null}`, `{"a": {"b": [1]}}`, `{"a\nb": "c"}`,
		`{"": ""}`, `{"a": "\u0000"}`, `["\u0000"]`, `"\u0000"`, `"a\u0000b"`, `"a\nb"`, `"\ud800"`, "\"\xff\"", `"é"`,
		`"` + strings.Repeat("x", 300) + `"`,
		`"` + strings.Repeat("y", 70_000) + `"`, `"../x"`, `"/"`, `"a//b"`, `"0001-01-01T00:00:00Z"`,
		`"9999-12-31T23:59:59-14:00"`,
		`"2020-13-01T00:00:00Z"`, `"10000-01-01T00:00:00Z"`, `"file:///etc/passwd"`, `"http://u:p@h.example/"`, `"http://["`, `"http://a b/"`,
		`"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"`, `[{"X-A": "b\r\nc"}]`, `[{"a b": "c"}]`, `[{"Host": 1}]`,
		`"prn:core.artifact:x"`, `"prn:core.artifact:00000000-0000-0000-0000-000000000000"`, `[` + strings.Repeat("[",
			5000) + strings.Repeat("]", 5001),
	}
	refs := append(slices.Clone(p.Foreign), p.first("/remotes/"), p.first("/artifacts/"), p.first("/tasks/"),
		p.first("/content/"),
		p.first("/distributions/"), p.first("/contentguards/"), p.first("/repositories/"),
		p.first("/repositories/")+"versions/1/",
		p.first("/publications/"), p.first("/workers/"), "/pulp/api/v3/", "/pulp/api/v3/remotes/file/file/x/")
	for _, href := range refs {
		href = []string{href, nowhere(href), strings.TrimSuffix(href, "/"), "http://other.example" + href, href + "?a=b", "//" + href}[p.random.IntN(6)]
		list = append(list, jsonOf(href))
		if name == "guards" || strings.HasSuffix(name, "_units") || strings.HasSuffix(name, "s") {
			list = append(list, jsonOf([]string{href}), jsonOf([]string{href, href}))
		}
	}
	return list
}

// any returns a request whose members are chosen at random among good ones, wrong ones and none.
func (p *probe) any(good shot) shot {
	s := good
	s.what = "a random request"
	if good.o.method == http.MethodGet {
		values := url.Values{}
		texts := p.wrongTexts()
		for _, ref := range good.o.Parameters {
			if ref.Value.In == openapi3.ParameterInQuery && p.random.IntN(8) == 0 {
				values.Add(ref.Value.Name, texts[p.random.IntN(len(texts))])
			}
		}
		s.query = "?" + values.Encode()
		return s
	}
	if good.o.body() == nil {
		return s
	}
	var members []pair
	for _, m := range p.goodMembers(good.o) {
		switch p.random.IntN(6) {
		case 0: // left out
		case 1:
			values := p.values(m.name)
			members = append(members, pair{m.name, values[p.random.IntN(len(values))]})
		case 2:
			members = append(members, m, m)
		default:
			members = append(members, m)
		}
	}
	p.random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	s.body, s.typ = p.encodeMembers(good.o, members)
	if p.random.IntN(4) == 0 {
		s.body, s.typ = formOf(members, good.o.body())
	}
	return s
}
