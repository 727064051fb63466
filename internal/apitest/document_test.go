package apitest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulptest"
)

// pythonEnv names a Python interpreter that has the packages of tools/python.txt.
const pythonEnv = "PULP_TEST_PYTHON"

// TestDocumentIsValid has the documents of Apps with different plugins checked by two validators.
func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var files []string
	for name, plugins := range map[string][]*pulpcore.Plugin{
		"core": nil, "file": {file.Plugin()}, "kinds": {kinds()}, "both": {file.Plugin(), kinds()},
	} {
		app := pulptest.New(t, plugins...)
		for kind, query := range map[string]string{"paths": "?pk_path=1", "hrefs": ""} {
			status, body := app.Get(t, "/pulp/api/v3/docs/api.json"+query)
			if status != 200 {
				t.Fatalf("the document is answered with %d", status)
			}
			doc := []byte(body)
			if query == "" {
				doc = withPaths(t, doc)
			}
			validHere(t, doc)
			files = append(files, filepath.Join(dir, name+"-"+kind+".json"))
			must(t, os.WriteFile(files[len(files)-1], doc, 0o600))
		}
	}
	validOutside(t, files)
}

// withPaths makes paths of what the document for Pulp's clients has in place of some. That document is not valid by
// itself: its parameters hold whole hrefs, so its paths begin with them and not with a slash.
func withPaths(t *testing.T, doc []byte) []byte {
	t.Helper()
	var parsed map[string]any
	must(t, json.Unmarshal(doc, &parsed))
	paths := map[string]any{}
	for path, item := range parsed["paths"].(map[string]any) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(path, "{"), "}"); ok && path[0] == '{' {
			path = "/" + name + "/" + path
		}
		paths[path] = item
	}
	parsed["paths"] = paths
	changed, err := json.Marshal(parsed)
	must(t, err)
	return changed
}

func validHere(t *testing.T, doc []byte) {
	t.Helper()
	loader := openapi3.NewLoader()
	parsed, err := loader.LoadFromData(doc)
	must(t, err)
	if err := parsed.Validate(loader.Context); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
}

// validOutside has openapi-spec-validator check documents, in one process because it starts slowly.
func validOutside(t *testing.T, files []string) {
	t.Helper()
	python := os.Getenv(pythonEnv)
	if python == "" || exec.CommandContext(t.Context(), python, "-c", "import openapi_spec_validator").Run() != nil {
		dbtest.LeaveOut("openapi-spec-validator on the API document", pythonEnv+" names no Python interpreter that has it")(t)
	}
	args := append([]string{"-m", "openapi_spec_validator", "--schema", "3.0"}, files...)
	if out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput(); err != nil {
		t.Errorf("openapi-spec-validator: %v: %.3000s", err, out)
	}
}
