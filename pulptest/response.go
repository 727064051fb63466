package pulptest

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// Response is an answer to [App.Do], read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   string
	// Err is why the body breaks off, as that of a file does which turns out to be wrong; nil for a whole one. Body is
	// what came before.
	Err error

	t       testing.TB
	request string // method and URL
}

// send sends a request and reads the answer. The test fails if there is none.
func send(t testing.TB, client *http.Client, req *http.Request) *Response {
	t.Helper()
	r := &Response{t: t, request: req.Method + " " + req.URL.RequestURI()}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", r.request, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	r.Status, r.Header, r.Body, r.Err = res.StatusCode, res.Header, string(raw), err
	return r
}

// Want ends the test if the status is another one or if the body breaks off, and returns the answer.
func (r *Response) Want(status int) *Response {
	r.t.Helper()
	if r.Status != status {
		r.t.Fatalf("%s = %d, want %d: %s", r.request, r.Status, status, shorten(r.Body))
	}
	if r.Err != nil {
		r.t.Fatalf("%s = %d, and the body breaks off after %d bytes: %v", r.request, r.Status, len(r.Body), r.Err)
	}
	return r
}

// JSON decodes the body into what v points at, and ends the test if it is not JSON of that form.
func (r *Response) JSON(v any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.Body), v); err != nil {
		r.t.Fatalf("%s = %d: decode %s: %v", r.request, r.Status, shorten(r.Body), err)
	}
}

// Href returns the pulp_href of the answer, which is a path for [App.Do], and ends the test if there is none.
func (r *Response) Href() string {
	r.t.Helper()
	var got struct {
		Href string `json:"pulp_href"`
	}
	r.JSON(&got)
	if got.Href == "" {
		r.t.Fatalf("%s = %d without a pulp_href: %s", r.request, r.Status, shorten(r.Body))
	}
	return got.Href
}

// shorten returns the beginning of a body, as much as a message of a test needs.
func shorten(body string) string {
	const most = 2000 // bytes
	if len(body) > most {
		return body[:most] + "…"
	}
	return body
}
