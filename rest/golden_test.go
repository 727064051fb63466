package rest_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// long: a table.
//
// TestRefusals sends requests that must not succeed and compares the whole answer.
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "taken"})
		b.completed("POST", "distributions/file/file/", map[string]any{"name": "d", "base_path": "a/b"})
		const (
			repos, remotes = "repositories/file/file/", "remotes/file/file/"
			dists, pubs    = "distributions/file/file/", "publications/file/file/"
			missing        = "00000000-0000-0000-0000-000000000000"
			url            = `"url": "http://x.example/"`
		)
		type row struct {
			name, method, path, body string
			status                   int
			want                     string // JSON; REPO stands for the repository's href
		}
		field := func(name, reason string) string { return fmt.Sprintf(`{%q: [%q]}`, name, reason) }
		for _, tt := range []row{
			{
				"required fields", "POST", remotes, `{}`, 400,
				`{"name": ["This field is required."], "url": ["This field is required."]}`,
			},
			{"name taken", "POST", repos, `{"name": "taken"}`, 400, field("name", "This field must be unique.")},
			{"unknown field", "POST", repos, `{"name": "x", "foo": 1}`, 400, field("foo", "Unexpected field")},
			{"read-only field", "POST", repos, `{"name": "x", "pulp_href": "/"}`, 400, field("pulp_href", "Unexpected field")},
			{"blank name", "POST", repos, `{"name": "  "}`, 400, field("name", "This field may not be blank.")},
			{"null name", "POST", repos, `{"name": null}`, 400, field("name", "This field may not be null.")},
			{"name of another type", "POST", repos, `{"name": ["x"]}`, 400, field("name", "Not a valid string.")},
			{"bool name", "POST", repos, `{"name": true}`, 400, field("name", "Not a valid string.")},
			{
				"name too long", "POST", repos, `{"name": "` + strings.Repeat("ä", 256) + `"}`, 400,
				field("name", "Ensure this field has no more than 255 characters."),
			},
			{"NUL in name", "POST", repos, `{"name": "a\u0000b"}`, 400, field("name", "Null characters are not allowed.")},
			{
				"NUL in description", "POST", repos, `{"name": "x", "description": "\u0000"}`, 400,
				field("description", "Null characters are not allowed."),
			},
			{
				"NUL in a password", "POST", remotes, `{"name": "x", ` + url + `, "password": "\u0000"}`, 400,
				field("password", "Null characters are not allowed."),
			},
			{
				"null in a list", "POST", remotes, `{"name": "x", ` + url + `, "headers": [null]}`, 400,
				field("headers", "Values in it may not be null."),
			},
			{
				"null in a list of maps", "POST", remotes, `{"name": "x", ` + url + `, "headers": [{"A": null}]}`, 400,
				field("headers", "Values in it may not be null."),
			},
			{
				"label with more", "POST", "REPOset_label/", `{"key": "a", "value": "b", "c": 1}`, 400, field("c", "Unexpected field"),
			},
			{
				"label taken away with more", "POST", "REPOunset_label/", `{"key": "a", "value": "b"}`, 400,
				field("value", "Unexpected field"),
			},
			{
				"NUL in headers", "POST", remotes, `{"name": "x", ` + url + `, "headers": [{"a": "\u0000"}]}`, 400,
				field("headers", "Null characters are not allowed."),
			},
			{
				"policy", "POST", remotes, `{"name": "x", ` + url + `, "policy": "lazy"}`, 400,
				field("policy", `"lazy" is not a valid choice.`),
			},
			{
				"number as text", "POST", remotes, `{"name": "x", ` + url + `, "max_retries": "many"}`, 400,
				field("max_retries", "A valid integer is required."),
			},
			{
				"huge number", "POST", remotes, `{"name": "x", ` + url + `, "max_retries": 99999999999999999999}`, 400,
				field("max_retries", "A valid integer is required."),
			},
			{
				"number over 32 bits", "POST", remotes, `{"name": "x", ` + url + `, "max_retries": 9999999999}`, 400,
				field("max_retries", "Ensure this value is less than or equal to 2147483647."),
			},
			{
				"negative timeout", "POST", remotes, `{"name": "x", ` + url + `, "total_timeout": -1}`, 400,
				field("total_timeout", "Ensure this value is greater than or equal to 0.0."),
			},
			{
				"retention of nothing", "POST", repos, `{"name": "x", "retain_repo_versions": 0}`, 400,
				field("retain_repo_versions", "Ensure this value is greater than or equal to 1."),
			},
			{
				"boolean", "POST", repos, `{"name": "x", "autopublish": "perhaps"}`, 400,
				field("autopublish", "Must be a valid boolean."),
			},
			{
				"labels that are a list", "POST", repos, `{"name": "x", "pulp_labels": []}`, 400,
				field("pulp_labels", `Expected a dictionary of items but got type "list".`),
			},
			{
				"label with a bad key", "POST", repos, `{"name": "x", "pulp_labels": {"a(": "b"}}`, 400,
				field("pulp_labels", "Key 'a(' contains invalid characters. Only alphanumerics, underscores, spaces, "+
					"hyphens, and dots are allowed."),
			},
			{
				"label with a parenthesis", "POST", repos, `{"name": "x", "pulp_labels": {"a": "(b"}}`, 400,
				field("pulp_labels", "Key 'a' contains value with parenthesis."),
			},
			{
				"headers that are an object", "POST", remotes, `{"name": "x", ` + url + `, "headers": {"a": "b"}}`, 400,
				field("headers", `Expected a list of items but got type "dict".`),
			},
			{
				"no href", "POST", repos, `{"name": "x", "remote": "nope"}`, 400,
				field("remote", "Invalid hyperlink - No URL match."),
			},
			{
				"href of another kind", "POST", repos, `{"name": "x", "remote": "REPO"}`, 400,
				field("remote", "Invalid hyperlink - Incorrect URL match."),
			},
			{
				"href of nothing", "POST", repos, `{"name": "x", "remote": "/pulp/api/v3/remotes/file/file/` + missing + `/"}`, 400,
				field("remote", "Invalid hyperlink - Object does not exist."),
			},
			{
				"href that is a number", "POST", repos, `{"name": "x", "remote": 7}`, 400,
				field("remote", "Incorrect type. Expected URL string, received int."),
			},
			{
				"PRN of nothing", "POST", repos, `{"name": "x", "remote": "prn:file.fileremote:` + missing + `"}`, 400,
				field("remote", "Invalid hyperlink - Object does not exist."),
			},
			{
				"proxy credentials without a proxy", "POST", remotes, `{"name": "x", ` + url + `, "proxy_username": "u"}`, 400,
				field("non_field_errors", "proxy credentials cannot be specified without a proxy"),
			},
			{
				"credentials in the url", "POST", remotes, `{"name": "x", "url": "http://u:p@x.example/"}`, 400,
				field("url", "The remote url contains username or password. Use the username and password fields."),
			},
			{
				"file url", "POST", remotes, `{"name": "x", "url": "file:///etc/passwd"}`, 400,
				field("url", "The path '/etc/passwd' does not start with any of the allowed import paths"),
			},
			{"bad JSON", "POST", repos, `{bad`, 400, `{"detail": "JSON parse error - the syntax is wrong"}`},
			{
				"JSON that is cut off", "POST", repos, `{"name": `, 400,
				`{"detail": "JSON parse error - the value is cut off or too deeply nested"}`,
			},
			{
				"JSON with a tail", "POST", repos, `{} {}`, 400,
				`{"detail": "JSON parse error - there is something after the value"}`,
			},
			{
				"JSON that is not UTF-8", "POST", repos, "{\"name\": \"\xff\"}", 400,
				`{"detail": "JSON parse error - the text is not UTF-8"}`,
			},
			{
				"JSON list", "POST", repos, `[]`, 400,
				field("non_field_errors", "Invalid data. Expected a dictionary, but got list."),
			},
			{
				"base path taken", "POST", dists, `{"name": "x", "base_path": "a/b"}`, 400,
				field("base_path", "This field must be unique."),
			},
			{
				"base path below another", "POST", dists, `{"name": "x", "base_path": "a/b/c"}`, 400,
				`{"base_path": {"base_path": "Overlaps with existing distribution 'd'"}}`,
			},
			{
				"base path above another", "POST", dists, `{"name": "x", "base_path": "a"}`, 400,
				`{"base_path": {"base_path": "Overlaps with existing distribution 'd'"}}`,
			},
			{
				"base path with a slash in front", "POST", dists, `{"name": "x", "base_path": "/z"}`, 400,
				field("base_path", "Relative path is not in canonical form. /z"),
			},
			{
				"base path with a blank", "POST", dists, `{"name": "x", "base_path": "z y"}`, 400,
				field("base_path", "Relative path is not in canonical form. z y"),
			},
			{
				"base path with a query", "POST", dists, `{"name": "x", "base_path": "z?y"}`, 400,
				field("base_path", "Relative path is not in canonical form. z?y"),
			},
			{
				"base path with a fragment", "POST", dists, `{"name": "x", "base_path": "z#y"}`, 400,
				field("base_path", "Relative path is not in canonical form. z#y"),
			},
			{
				"base path with another blank", "POST", dists, `{"name": "x", "base_path": "z\u2003y"}`, 400,
				field("base_path", "Relative path is not in canonical form. z\u2003y"),
			},
			{"two sources", "POST", dists, `{"name": "x", "base_path": "z", "repository": "REPO",
				"repository_version": "REPOversions/0/"}`, 400, field("non_field_errors", "Only one of the attributes "+
				"'repository', 'repository_version' and 'publication' may be used simultaneously.")},
			{
				"publication of nothing", "POST", pubs, `{}`, 400,
				field("non_field_errors", "Either the 'repository' or 'repository_version' need to be specified"),
			},
			{
				"sync without a remote", "POST", "REPOsync/", `{}`, 400,
				field("remote", "This field is required since a remote is not set on the repository."),
			},
			{
				"unknown unit", "POST", "REPOmodify/", `{"add_content_units": ["/pulp/api/v3/content/file/files/` + missing + `/"]}`,
				400, field("add_content_units", "Could not find the following content units: ['/pulp/api/v3/content/file/files/"+
					missing+"/']"),
			},
			{
				"unit that is no href", "POST", "REPOmodify/", `{"remove_content_units": ["x"]}`, 400,
				field("remove_content_units", "URI not valid: x"),
			},
			{
				"label not set", "POST", "REPOunset_label/", `{"key": "nope"}`, 400,
				field("key", "Label 'nope' is not set on the object."),
			},
			{"label without a value", "POST", "REPOset_label/", `{"key": "k"}`, 400, field("value", "This field is required.")},
			{
				"action with a fault", "POST", "REPOrename/", `{"name": "x", "times": 0}`, 400,
				field("times", "Ensure this value is greater than or equal to 1."),
			},
			{
				"content without a file", "POST", "content/file/files/", `{"relative_path": "x"}`, 400,
				field("non_field_errors", "Exactly one of upload, artifact, file, file_url must be specified."),
			},
			{
				"content with a bad path", "POST", "content/file/files/", `{"relative_path": "/abs", "artifact": "x"}`, 400,
				`{"relative_path": ["Relative path is not in canonical form. /abs"],
				"artifact": ["Invalid hyperlink - No URL match."]}`,
			},
			{"artifact without a file", "POST", "artifacts/", `{}`, 400, field("file", "No file was submitted.")},
			{"missing row", "GET", repos + missing + "/", ``, 404, `{"detail": "No FileRepository matches the given query."}`},
			{"key that is none", "GET", repos + "1/", ``, 404, `{"detail": "No FileRepository matches the given query."}`},
			{
				"missing version", "GET", "REPOversions/7/", ``, 404,
				`{"detail": "No RepositoryVersion matches the given query."}`,
			},
			{
				"purge of a state that is not final", "POST", "tasks/purge/", `{"states": ["completed", "running"]}`, 400,
				field("states", `"running" is not a valid choice.`),
			},
			{
				"purge of no list", "POST", "tasks/purge/", `{"states": "completed"}`, 400,
				field("states", `Expected a list of items but got type "str".`),
			},
			{
				"purge before nothing", "POST", "tasks/purge/", `{"finished_before": null}`, 400,
				field("finished_before", "This field may not be null."),
			},
			{"purge of what is unknown", "POST", "tasks/purge/", `{"foo": 1}`, 400, field("foo", "Unexpected field")},
			{"method of a purge", "GET", "tasks/purge/", ``, 405, `{"detail": "Method \"GET\" not allowed."}`},
			{
				"missing schedule", "GET", "task-schedules/" + missing + "/", ``, 404,
				`{"detail": "No TaskSchedule matches the given query."}`,
			},
			{
				"schedules are not changed", "DELETE", "task-schedules/" + missing + "/", ``, 405,
				`{"detail": "Method \"DELETE\" not allowed."}`,
			},
			{"missing task", "GET", "tasks/" + missing + "/", ``, 404, `{"detail": "No Task matches the given query."}`},
			{"method", "POST", "REPO", `{}`, 405, `{"detail": "Method \"POST\" not allowed."}`},
			{
				"content is not changed", "PATCH", "content/file/files/" + missing + "/", `{}`, 405,
				`{"detail": "Method \"PATCH\" not allowed."}`,
			},
			{
				"unknown filter", "GET", repos + "?foo=1&bar=2", ``, 400,
				`{"errors": ["Invalid Filter: 'bar'", "Invalid Filter: 'foo'"]}`,
			},
			{
				"state of a task", "GET", "tasks/?state=zzz", ``, 400,
				field("state", "Select a valid choice. zzz is not one of the available choices."),
			},
			{"time", "GET", "tasks/?pulp_created__gt=yesterday", ``, 400, field("pulp_created__gt", "Enter a valid date/time.")},
			{"number", "GET", repos + "?retain_repo_versions__gt=x", ``, 400, field("retain_repo_versions__gt", "Enter a number.")},
			{
				"half a range", "GET", "REPOversions/?number__range=1", ``, 400,
				field("number__range", "Range query expects two values."),
			},
			{"NUL in a filter", "GET", repos + "?name=%00", ``, 400, field("name", "Null characters are not allowed.")},
			{
				"ordering", "GET", repos + "?ordering=foo", ``, 400,
				field("ordering", "Select a valid choice. foo is not one of the available choices."),
			},
			{
				"version filter", "GET", "content/file/files/?repository_version=/pulp/api/v3/nope/", ``, 400,
				`["URI not valid: /pulp/api/v3/nope/"]`,
			},
			{"label select", "GET", repos + "?pulp_label_select=a%3Db,((", ``, 400, `["Invalid search term: '(('."]`},
			{"hrefs", "GET", repos + "?pulp_href__in=x", ``, 400, `["URI not valid: x"]`},
			{"ids", "GET", repos + "?pulp_id__in=x", ``, 400, field("pulp_id__in", "Enter a valid UUID.")},
		} {
			t.Run(tt.name, func(t *testing.T) {
				target := strings.Replace(tt.path, "REPO", repo, 1)
				var body any
				if tt.body != "" {
					body = strings.ReplaceAll(tt.body, "REPO", repo)
				}
				at := *b
				at.t = t
				a := at.do(tt.method, target, body).want(tt.status)
				diff(t, a.body, strings.ReplaceAll(tt.want, "REPO", repo))
			})
		}
		if n := b.do("GET", "repositories/", nil).get("count"); n != 1.0 {
			t.Errorf("there are %v repositories after all refusals, want 1", n)
		}
	})
}

func TestMediaTypes(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		plain := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
		a := b.do("POST", "repositories/file/file/", "name=x", plain).want(415)
		diff(t, a.body, `{"detail": "Unsupported media type \"text/plain\" in request."}`)
		form := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
		labels := "name=x&autopublish=true&pulp_labels=%7B%22a%22%3A%22b%22%7D&remote="
		a = b.do("POST", "repositories/file/file/", labels, form).want(201)
		if a.get("autopublish") != true || fmt.Sprint(a.get("pulp_labels")) != "map[a:b]" {
			t.Errorf("from a form: %s", a.body)
		}
		big := func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }
		b.do("POST", "repositories/file/file/", `{"name": "`+strings.Repeat("x", 11<<20)+`"}`, big).want(413)
		b.do("POST", "repositories/file/file/", `{"name": "y"}`, big).want(201)
	})
}

func TestHeaders(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		const cid = "0123456789abcdef0123456789abcdef"
		a := b.do("GET", "tasks/", nil, func(r *http.Request) { r.Header.Set("Correlation-ID", cid) }).want(200)
		for name, want := range map[string]string{
			"Content-Type": "application/json", "X-Frame-Options": "DENY",
			"X-Content-Type-Options": "nosniff", "Allow": "GET, HEAD, OPTIONS", "Vary": "Accept",
			"Access-Control-Expose-Headers": "Correlation-ID",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		onWire := func() string { // the name of the correlation id is no canonical one
			var w strings.Builder
			must(t, a.header.Write(&w))
			return w.String()
		}
		if got := onWire(); !strings.Contains(got, "Correlation-ID: "+cid+"\r\n") {
			t.Errorf("headers %q do not have the Correlation-ID %q", got, cid)
		}
		a = b.do("GET", "tasks/", nil, func(r *http.Request) { r.Header.Set("Correlation-ID", "x\ty") })
		if got := onWire(); !regexp.MustCompile("Correlation-ID: [0-9a-f]{32}\r\n").MatchString(got) {
			t.Errorf("headers %q for a malformed Correlation-ID, want one of 32 hex characters", got)
		}
		a = b.do("GET", "/pulp/api/v3/tasks?limit=1", nil).want(301)
		if got := a.header.Get("Location"); got != "/pulp/api/v3/tasks/?limit=1" {
			t.Errorf("Location = %q without the last slash", got)
		}
		a = b.do("GET", "/pulp/api/v3/nope/", nil).want(404)
		if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
			t.Errorf("Content-Type of an unknown path = %q, want HTML", got)
		}
		b.do("HEAD", "tasks/", nil).want(200)
		b.do("OPTIONS", "tasks/", nil).want(204)
	})
}
