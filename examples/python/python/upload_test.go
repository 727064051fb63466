package python_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

const (
	packages = "/pulp/api/v3/content/python/packages/"
	legacy   = "/pulp_python/legacy/main/"
)

// TestUpload uploads a wheel and an sdist by the route of twine and by the API. The fields come from the files.
func TestUpload(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for _, tt := range []struct{ name, body string }{pair(wheel(t, "My.Own-Wheel", "1.0+local.1")), pair(sdist(t, "my-sdist", "2.0rc1"))} {
			// The form claims what is not true.
			res := b.app.Do(t, "POST", legacy, pulptest.Field(":action", "file_upload"), pulptest.Field("name", "other"),
				pulptest.Field("version", "9"), pulptest.Field("requires_python", "<2"), pulptest.File("content", tt.name, tt.body))
			created := b.app.Await(t, res.Want(202)).Created
			href := created[len(created)-1] // behind the version of the repository
			b.wantUnit(href, tt.name, tt.body)
			// The same file by the API is the same unit.
			res = b.app.Do(t, "POST", packages, pulptest.Field("relative_path", tt.name), pulptest.File("file", "any", tt.body))
			if again := b.app.Await(t, res.Want(202)).Resource(); again != href {
				t.Errorf("the unit is %s, want %s", again, href)
			}
		}
		if got := b.files("my-own-wheel"); len(got) != 1 || got[0].RequiresPython != ">=3.8" {
			t.Errorf("the index has %+v", got)
		}
		res := b.app.Do(t, "POST", packages, pulptest.JSON(map[string]any{"relative_path": "x-1.0.tar.gz", "filename": "y"})).Want(400)
		if !strings.Contains(res.Body, `"filename":["Unexpected field"]`) {
			t.Errorf("the answer to a request that sets the filename is %s", res.Body)
		}
	})
}

func pair(name, body string) struct{ name, body string } {
	return struct{ name, body string }{name, body}
}

// wantUnit compares the fields of a unit with those of its file.
func (b *bench) wantUnit(href, name, body string) {
	b.t.Helper()
	var got struct {
		Name, Version, Filename, SHA256 string
		RequiresPython                  string `json:"requires_python"`
		Size                            int
	}
	b.app.Do(b.t, "GET", href).Want(200).JSON(&got)
	project, version, err := python.ParseFilename(name)
	must(b.t, err)
	if got.Name != project || got.Version != version || got.Filename != name || got.SHA256 != sum(body) ||
		got.RequiresPython != ">=3.8" || got.Size != len(body) {
		b.t.Errorf("the unit of %s is %+v", name, got)
	}
}

// TestUploadByURL lets a task fetch the file, which completes the unit then.
func TestUploadByURL(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	name, body := wheel(t, "far", "1.0")
	upstream := pulptest.Serve(t, name, body)
	res := b.app.Do(t, "POST", packages, pulptest.JSON(map[string]any{"relative_path": name, "file_url": upstream + "/" + name}))
	b.wantUnit(b.app.Await(t, res.Want(202)).Resource(), name, body)
}

// TestUploadNeedsAnAccount asks for the upload route as others than the administrator.
func TestUploadNeedsAnAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	name, body := wheel(t, "own", "1.0")
	b.app.NewUser(t, "ann", "password")
	b.app.Do(t, "POST", legacy, pulptest.File("content", name, body), pulptest.AsNobody).Want(401)
	b.app.Do(t, "POST", legacy, pulptest.File("content", name, body), pulptest.As("ann", "password")).Want(403)
	b.app.Do(t, "POST", "/pulp_python/legacy/none/", pulptest.File("content", name, body)).Want(404)
	if n := len(b.names()); n != 0 {
		t.Errorf("the repository has %d files, want 0", n)
	}
}

// TestRefusedUploads uploads files that are not what their names say, by the route and by the API.
func TestRefusedUploads(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	_, good := wheel(t, "own", "1.0")
	_, source := sdist(t, "own", "1.0")
	const whl, tgz = "own-1.0-py3-none-any.whl", "own-1.0.tar.gz"
	for what, tt := range map[string]struct{ name, body, field string }{
		"another project":       {"other-1.0-py3-none-any.whl", good, "filename"},
		"another version":       {"own-1.1-py3-none-any.whl", good, "filename"},
		"no package":            {"own.txt", good, "filename"},
		"a name with spaces":    {"own -1.0.tar.gz", source, "filename"},
		"a wheel of four parts": {"own-1.0-py3-none.whl", good, "filename"},
		"an sdist as a wheel":   {whl, source, "file"},
		"a wheel as an sdist":   {tgz, good, "file"},
		"an empty wheel":        {whl, "", "file"},
		"an empty sdist":        {tgz, "", "file"},
		"half a wheel":          {whl, good[:len(good)/2], "file"},
		"half an sdist":         {tgz, source[:len(source)/2], "file"},
		"no metadata":           {whl, zipped(t, "own.py", ""), "file"},
		"metadata too deep":     {whl, zipped(t, "a/own-1.0.dist-info/METADATA", metadata("own", "1.0")), "file"},
		"no PKG-INFO":           {tgz, tarred(t, "own-1.0/setup.py", ""), "file"},
		"metadata without name": {whl, zipped(t, "own-1.0.dist-info/METADATA", "Version: 1.0\n\n"), "filename"},
		"a NUL byte": {
			whl, zipped(t, "own-1.0.dist-info/METADATA", "Name: own\nVersion: 1.0\nRequires-Python: >\x00\n\n"), "file",
		},
		"metadata of no fields": {whl, zipped(t, "own-1.0.dist-info/METADATA", "hello\nworld\n"), "file"},
		"endless metadata": {
			whl, zipped(t, "own-1.0.dist-info/METADATA", "Name: "+strings.Repeat("x", 2<<20)), "filename",
		},
		"a directory of 17 MiB":       {whl, manyFiles(17 << 20), "file"},
		"257 MiB before the metadata": {tgz, tarred(t, "own-1.0/zeros", strings.Repeat("\x00", 257<<20), "own-1.0/PKG-INFO", metadata("own", "1.0")), "file"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			res := b.app.Do(t, "POST", legacy, pulptest.File("content", tt.name, tt.body)).Want(400)
			if !strings.Contains(res.Body, `"`+tt.field+`":[`) {
				t.Errorf("twine gets %s, want a fault of %s", res.Body, tt.field)
			}
			res = b.app.Do(t, "POST", packages, pulptest.Field("relative_path", tt.name), pulptest.File("file", "x", tt.body)).Want(400)
			if !strings.Contains(res.Body, `"`+tt.field+`":[`) {
				t.Errorf("the API answers %s, want a fault of %s", res.Body, tt.field)
			}
		})
	}
	t.Run("a path", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"sub/" + whl, "../" + whl, `sub\` + whl, "/" + whl} {
			b.app.Do(t, "POST", packages, pulptest.Field("relative_path", path), pulptest.File("file", "x", good)).Want(400)
		}
	})
}

// manyFiles returns a zip archive that has nothing but a directory of so many bytes.
func manyFiles(size int) string {
	var b bytes.Buffer
	const nameLen = 1000
	entries := size / (46 + nameLen)
	name := bytes.Repeat([]byte("x"), nameLen)
	for range entries {
		header := make([]byte, 46)
		copy(header, "PK\x01\x02")
		binary.LittleEndian.PutUint16(header[28:], nameLen)
		b.Write(header)
		b.Write(name)
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], uint16(entries))
	binary.LittleEndian.PutUint16(end[10:], uint16(entries))
	binary.LittleEndian.PutUint32(end[12:], uint32(b.Len())) //nolint:gosec // 17 MiB
	b.Write(end)
	return b.String()
}

// TestReadMetadata reads archives as they occur.
func TestReadMetadata(t *testing.T) {
	t.Parallel()
	long := "Name: own\nVersion: 1.0\nDescription: one\n        |two\nClassifier: a\nClassifier: b\n"
	for what, tt := range map[string]struct{ filename, body string }{
		"a wheel":               pairOf("own-1.0-1-py2.py3-none-any.whl", zipped(t, "own/x.py", "", "own-1.0.dist-info/METADATA", long+"\nText")),
		"without an empty line": pairOf("own-1.0-py3-none-any.whl", zipped(t, "own-1.0.dist-info/METADATA", long)),
		"with CRLF":             pairOf("own-1.0-py3-none-any.whl", zipped(t, "own-1.0.dist-info/METADATA", strings.ReplaceAll(long, "\n", "\r\n"))),
		"an sdist":              pairOf("own-1.0.tar.gz", tarred(t, "own-1.0/own.egg-info/PKG-INFO", "Name: inner\n\n", "own-1.0/PKG-INFO", long)),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			fields, err := python.ReadMetadata(tt.filename, strings.NewReader(tt.body), int64(len(tt.body)))
			must(t, err)
			want := []string{"own", "1.0", "one |two", "a"}
			got := []string{fields.Get("Name"), fields.Get("Version"), fields.Get("Description"), fields.Get("Classifier")}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func pairOf(filename, body string) struct{ filename, body string } {
	return struct{ filename, body string }{filename, body}
}

// TestVersionsOfOneFile replaces a file of a repository by another one of the same name.
func TestVersionsOfOneFile(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		name, body := wheel(t, "own", "1.0")
		other := zipped(t, "own.py", "", "own-1.0.dist-info/METADATA", metadata("own", "1.0"))
		for _, bytes := range []string{body, other} {
			b.app.Await(t, b.app.Do(t, "POST", legacy, pulptest.File("content", name, bytes)).Want(202))
		}
		if got := b.files("own"); len(got) != 1 || got[0].Hashes.SHA256 != sum(other) {
			t.Errorf("the index has %+v, want the newer file", got)
		}
		if n, err := models.CountVersions(t.Context(), b.app.DB(), b.repo.ID); err != nil || n != 3 {
			t.Errorf("the repository has %d versions, %v, want 3", n, err)
		}
	})
}
