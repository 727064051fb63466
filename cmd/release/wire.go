package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/certguard"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/settings"
)

// document is what counts of the API document.
type document struct {
	Paths map[string]map[string]json.RawMessage `json:"paths"`

	Components struct {
		Schemas map[string]struct {
			Properties map[string]json.RawMessage `json:"properties"`
			Required   []string                   `json:"required"`
		} `json:"schemas"`
	} `json:"components"`
}

// wireSurface returns the operations, parameters and fields of an App with all plugins of the module.
func wireSurface(ctx context.Context) (s surface, err error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", dir), settings.Value("STORAGE_URL", "mem://"))
	if err != nil {
		return nil, err
	}
	app, err := pulpcore.OpenWith(ctx, set, &pulpcore.Options{
		IgnoreSubprocess: true, Log: slog.New(slog.DiscardHandler),
	}, file.Plugin(), certguard.Plugin())
	if err != nil {
		return nil, err
	}
	defer app.Close()
	const path = "/pulp/api/v3/docs/api.json"
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	res := httptest.NewRecorder()
	app.Handler().ServeHTTP(res, req)
	if res.Code != http.StatusOK {
		return nil, fmt.Errorf("%s = %d: %s", path, res.Code, res.Body)
	}
	return wireOf(res.Body.Bytes())
}

// wireOf returns the surface of an API document.
func wireOf(raw []byte) (surface, error) {
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("API document: %w", err)
	}
	s := surface{}
	for path, methods := range doc.Paths {
		for method, raw := range methods {
			if err := addOperation(s, strings.ToUpper(method)+" "+path, raw); err != nil {
				return nil, fmt.Errorf("API document: %s: %w", path, err)
			}
		}
	}
	for name, schema := range doc.Components.Schemas {
		s["schema "+name] = "schema"
		for field, raw := range schema.Properties {
			decl, err := shapeOf(raw)
			if err != nil {
				return nil, fmt.Errorf("API document: %s.%s: %w", name, field, err)
			}
			if slices.Contains(schema.Required, field) {
				decl += " required"
			}
			s["schema "+name+"."+field] = decl
		}
	}
	return s, nil
}

// addOperation adds an operation, its parameters and its statuses.
func addOperation(s surface, key string, raw json.RawMessage) error {
	if key[0] == 'P' && strings.HasPrefix(key, "PARAMETERS ") {
		return nil // those of a path; the operations repeat them
	}
	var op struct {
		Parameters []struct {
			Name   string          `json:"name"`
			In     string          `json:"in"`
			Schema json.RawMessage `json:"schema"`
		} `json:"parameters"`
		Responses map[string]json.RawMessage `json:"responses"`
	}
	if err := json.Unmarshal(raw, &op); err != nil {
		return err
	}
	s[key] = "operation " + strings.Join(slices.Sorted(maps.Keys(op.Responses)), " ")
	for _, p := range op.Parameters {
		shape, err := shapeOf(p.Schema)
		if err != nil {
			return err
		}
		s[key+" ?"+p.Name] = p.In + " " + shape
	}
	return nil
}

// shapeOf returns what a schema allows, without the words that explain it.
func shapeOf(raw json.RawMessage) (string, error) {
	var v any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &v); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(withoutDocs(v))
	return string(text), err
}

// withoutDocs returns a schema without titles, descriptions and examples.
func withoutDocs(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if text, ok := value.(string); ok && text != "" && slices.Contains([]string{"title", "description"}, key) {
				continue
			}
			if key != "example" {
				out[key] = withoutDocs(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = withoutDocs(e)
		}
		return out
	default:
		return v
	}
}
