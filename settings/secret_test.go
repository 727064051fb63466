package settings_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/pulpgo/pulpcore/settings"
)

type holder struct {
	Exported settings.Secret
	hidden   settings.Secret
	Address  settings.URL
	address  settings.URL
	Pointer  *settings.Secret
	Any      any
	List     []settings.Secret
	Map      map[string]settings.Secret
}

func TestSecretsCannotBePrinted(t *testing.T) {
	t.Parallel()
	s, u := settings.NewSecret(hunter2), settings.NewURL("postgres://pulp:hunter2@db/pulp?sslpassword=hunter2")
	h := holder{s, s, u, u, &s, s, []settings.Secret{s}, map[string]settings.Secret{"k": s}}
	var out bytes.Buffer
	for verb := range strings.FieldsSeq("%v %+v %#v %s %q %x %X %d %t %T %p %08.3f %w %z") {
		for _, v := range []any{s, &s, u, &u, h, &h, []any{s, u}, map[any]any{s: u}, h.hidden, h.address} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	fmt.Fprint(&out, s, u, h)
	fmt.Fprintln(&out, fmt.Errorf("%w %v", fmt.Errorf("%v", s), h))
	for _, v := range []any{s, u, h, &h} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Errorf("json.Marshal(%T) = %v", v, err)
		}
		y, err := yaml.Marshal(v)
		if err != nil {
			t.Errorf("yaml.Marshal(%T) = %v", v, err)
		}
		out.Write(j)
		out.Write(y)
	}
	for _, l := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(l).Info("m", "s", s, "u", u, "h", h, "p", &h, slog.Group("g", "s", s), "any", []any{s, u})
	}
	if strings.Contains(out.String(), hunter2) || strings.Contains(out.String(), fmt.Sprintf("%x", hunter2)) {
		t.Errorf("the secret was printed:\n%s", out.String())
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s := settings.NewSecret(hunter2)
	var zero, parsed settings.Secret
	if err := json.Unmarshal([]byte(`"hunter2"`), &parsed); err != nil {
		t.Fatal(err)
	}
	switch {
	case s.Reveal() != hunter2 || zero.Reveal() != "":
		t.Error("Reveal() does not return the text")
	case s.String() != "[redacted]" || zero.String() != "" || s.GoString() != "[redacted]":
		t.Error("String() tells more or less than it should")
	case s != settings.NewSecret(hunter2) || !s.Equal(parsed) || s == zero:
		t.Error("equal texts are not equal secrets")
	case !s.Matches(hunter2) || s.Matches("hunter3") || !zero.Matches("") || zero.Matches("x"):
		t.Error("Matches() is wrong")
	case !zero.IsZero() || s.IsZero() || !settings.NewSecret("").IsZero():
		t.Error("IsZero() is wrong")
	}
}

func TestURLPrintsWithoutSecrets(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                       "",
		"sqlite:/srv/pulp.db":                    "sqlite:/srv/pulp.db",
		"redis://h:6379/0":                       "redis://h:6379/0",
		"redis://:pw@h:6379/0":                   "redis://:xxxxx@h:6379/0",
		"postgres://u:pw@h/d?sslmode=disable":    "postgres://u:xxxxx@h/d?sslmode=disable",
		"s3://b?region=x&secret_access_key=y":    "s3://b?region=x&secret_access_key=xxxxx",
		"http://h/%zz?user@":                     "[redacted]",
		"sqlite:relative?_pragma=x@y":            "[redacted]",
		"http://h/?a=%zz":                        "[redacted]",
		"azblob://c?storage_account=me&sas=1@23": "azblob://c?sas=xxxxx&storage_account=me",
	} {
		if got := settings.NewURL(raw).String(); got != want {
			t.Errorf("NewURL(%q).String() = %q, want %q", raw, got, want)
		}
	}
	u := settings.NewURL("Postgres://h")
	if u.Scheme() != "postgres" || settings.NewURL("plain").Scheme() != "" || !u.Equal(settings.NewURL(u.Reveal())) {
		t.Error("Scheme() or Equal() is wrong")
	}
}
