package python_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestParseFilename(t *testing.T) {
	t.Parallel()
	for filename, want := range map[string][2]string{
		"Tiny_Alpha-1.0-py3-none-any.whl": {"tiny-alpha", "1.0"}, "a-1.0-1-cp311-cp311-manylinux_2_17_x86_64.whl": {"a", "1.0"},
		"a-1!2.0_post1+local.1-py3-none-any.whl": {"a", "1!2.0-post1+local.1"}, "python-dateutil-2.8.2.tar.gz": {"python-dateutil", "2.8.2"},
		"zope.interface-5.tar.gz": {"zope-interface", "5"}, "A--_.B-1.tar.gz": {"a-b", "1"},
		"": {}, ".whl": {}, "a.whl": {}, "a-1.whl": {}, "a-1-b-c.whl": {}, "a-1-b-c-d-e-f.whl": {}, "a-1.zip": {}, "a.tar.gz": {}, "-1.tar.gz": {},
		"a-.tar.gz": {}, "a/b-1.tar.gz": {}, "a-1/.tar.gz": {}, `a\b-1.tar.gz`: {}, "é-1.tar.gz": {}, "a b-1.tar.gz": {}, "a-1.tar.gz\n": {}, "../a-1.tar.gz": {},
	} {
		project, version, err := python.ParseFilename(filename)
		if got := [2]string{project, version}; got != want || (err == nil) != (want[0] != "") {
			t.Errorf("ParseFilename(%q) = %q, %v, want %q", filename, got, err, want)
		}
	}
}

// FuzzParseFilename holds that a name which is accepted is safe in paths and in markup, and that its parts are in it.
func FuzzParseFilename(f *testing.F) {
	for _, name := range append(all(), "a-1!2.0+x-1-py3-none-any.whl", "../a-1.tar.gz", "a\x00-1.tar.gz") {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, filename string) {
		project, version, err := python.ParseFilename(filename)
		if err != nil {
			if project != "" || version != "" {
				t.Errorf("ParseFilename(%q) = %q, %q with an error", filename, project, version)
			}
			return
		}
		if strings.ContainsAny(filename, "/\\<>&\"' \x00\n%?#") || strings.HasPrefix(filename, ".") {
			t.Errorf("ParseFilename(%q) accepts the name", filename)
		}
		if project == "" || version == "" || python.Normalize(project) != project {
			t.Errorf("ParseFilename(%q) = %q, %q", filename, project, version)
		}
		if !strings.Contains(strings.ReplaceAll(filename, "_", "-"), version) {
			t.Errorf("ParseFilename(%q) has the version %q, which is not in it", filename, version)
		}
	})
}

func TestParseIndex(t *testing.T) {
	t.Parallel()
	sha := sum("x")
	page := `<!DOCTYPE html><html><head><title>Links</title><meta name=x content="<a href=no>"></head><body><h1>Links</h1>
<!-- <a href="comment">comment</a> --><script>"<a href='script'>"</script>
<A HREF="../a.whl#sha256=` + sha + `" Data-Requires-Python="&gt;=3.8" rel=internal>
  a-1.0-py3-none-any.whl </A><br/>
<a href=b.tar.gz#md5=1 data-yanked>b-1.tar.gz</a> text <a data-yanked="why" href="c?x=1&amp;y=2"><b>c</b></a><a href="d">d`
	want := []python.File{
		{Filename: "a-1.0-py3-none-any.whl", URL: "../a.whl#sha256=" + sha, RequiresPython: ">=3.8"},
		{Filename: "b-1.tar.gz", URL: "b.tar.gz#md5=1", Yanked: true},
		{Filename: "c", URL: "c?x=1&y=2", Yanked: true},
		{Filename: "d", URL: "d"},
	}
	want[0].Hashes.SHA256 = sha
	got, err := python.ParseIndex("text/html; charset=utf-8", []byte(page))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ParseIndex = %v (-want +got):\n%s", err, diff)
	}
	for contentType, page := range map[string]string{
		"application/json": `{"files": []}`, "": page, "text/html2": page, acceptJSON: `[]`, acceptJSON + "; x=y": `{"files": [1]}`,
	} {
		if _, err := python.ParseIndex(contentType, []byte(page)); err == nil {
			t.Errorf("ParseIndex(%q, %.20q) succeeds", contentType, page)
		}
	}
}

// FuzzParseIndex parses pages of both formats: no panic, no more files than the page can have, and HTML never fails.
func FuzzParseIndex(f *testing.F) {
	f.Add(true, []byte(`{"files": [{"filename": "a-1.tar.gz", "url": "x", "hashes": {"sha256": "00"}, "yanked": "y", "size": 1}]}`))
	f.Add(false, []byte(`<a href="x#sha256=00" data-yanked data-requires-python="&lt;3">a-1.tar.gz</a><a>`))
	f.Add(false, []byte("<a <a href=<!--<script><a>"))
	f.Fuzz(func(t *testing.T, isJSON bool, page []byte) {
		contentType := "text/html"
		if isJSON {
			contentType = acceptJSON
		}
		files, err := python.ParseIndex(contentType, page)
		if err != nil && (!isJSON || files != nil) {
			t.Errorf("ParseIndex(%q, %q) = %v, %v", contentType, page, files, err)
		}
		if len(files) > len(page) {
			t.Errorf("ParseIndex finds %d files in %d bytes", len(files), len(page))
		}
		for _, file := range files {
			_, _, _ = python.ParseFilename(file.Filename)
		}
	})
}

// FuzzReadMetadata reads archives of both kinds: no panic, and either fields or an error for the client.
func FuzzReadMetadata(f *testing.F) {
	_, source := sdist(f, "own", "1.0")
	_, good := wheel(f, "own", "1.0")
	f.Add("own-1.0-py3-none-any.whl", []byte(good))
	f.Add("own-1.0.tar.gz", []byte(source))
	f.Add("own-1.0-py3-none-any.whl", []byte(zipped(f, "own-1.0.dist-info/METADATA", "Name: own\n folded\n: x\n")))
	f.Add("own-1.0.tar.gz", []byte(tarred(f, "own-1.0/PKG-INFO", "Name:\x00own\xff\nVersion: 1")))
	f.Fuzz(func(t *testing.T, filename string, archive []byte) {
		fields, err := python.ReadMetadata(filename, strings.NewReader(string(archive)), int64(len(archive)))
		if (fields == nil) == (err == nil) {
			t.Errorf("ReadMetadata(%q) = %v, %v", filename, fields, err)
		}
	})
}

// broken is a file that the store does not send.
type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

// TestStoreThatDoesNotAnswer must not be taken for a damaged archive.
func TestStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, filename := range all() {
		if _, err := python.ReadMetadata(filename, broken{pulperr.Unavailable}, 1000); !errors.Is(err, pulperr.Unavailable) {
			t.Errorf("ReadMetadata(%q) = %v, want Unavailable", filename, err)
		}
	}
}
