package pulperr_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
)

// kinds lists all kinds; TestEveryKindIsListed keeps it complete.
var kinds = []pulperr.Kind{
	pulperr.Internal, pulperr.Invalid, pulperr.NotFound, pulperr.Exists, pulperr.Conflict, pulperr.Locked,
	pulperr.Unauthorized, pulperr.Forbidden, pulperr.Unsupported, pulperr.TooLarge, pulperr.Unavailable,
	pulperr.Canceled, pulperr.TooMany,
}

func TestEveryKindIsListed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i, k := range kinds {
		if int(k) != i+1 {
			t.Errorf("kind %v is number %d, want %d", k, k, i+1)
		}
		if seen[k.Error()] || strings.HasPrefix(k.Error(), "pulperr.Kind(") {
			t.Errorf("kind %d has the words %q", k, k.Error())
		}
		seen[k.Error()] = true
	}
	for _, k := range []pulperr.Kind{0, pulperr.Kind(len(kinds) + 1), 255} {
		if want := fmt.Sprintf("pulperr.Kind(%d)", uint8(k)); k.Error() != want {
			t.Errorf("Kind(%d).Error() = %q, want %q: is a kind missing in this test?", uint8(k), k.Error(), want)
		}
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		err  error
		want pulperr.Kind
	}{
		{"nil", nil, 0},
		{"a stranger", fs.ErrNotExist, pulperr.Internal},
		{"a kind itself", pulperr.Locked, pulperr.Locked},
		{"wrapped", fmt.Errorf("a: %w: %w", pulperr.NotFound, fs.ErrNotExist), pulperr.NotFound},
		{"deeply wrapped", fmt.Errorf("b: %w", fmt.Errorf("a: %w", pulperr.Exists)), pulperr.Exists},
		{"the outer one of two", fmt.Errorf("b: %w: %w", pulperr.Conflict, pulperr.Field("f", "x")), pulperr.Conflict},
		{"the first one joined", errors.Join(fs.ErrExist, pulperr.Forbidden, pulperr.Invalid), pulperr.Forbidden},
		{"public", pulperr.Public(pulperr.TooLarge, "x"), pulperr.TooLarge},
		{"coded", pulperr.Coded("PLP0001", pulperr.Unavailable, "x"), pulperr.Unavailable},
		{"a field", pulperr.Field("f", "x"), pulperr.Invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := pulperr.KindOf(row.err); got != row.want {
				t.Errorf("KindOf(%v) = %v, want %v", row.err, got, row.want)
			}
			if row.want != 0 && row.want != pulperr.Internal && !errors.Is(row.err, row.want) {
				t.Errorf("errors.Is(%v, %v) = false", row.err, row.want)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	secret := errors.New(`parse "https://u:hunter2@h": bad`)
	public := pulperr.Public(pulperr.Invalid, "remote %q needs a url", "r")
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"a stranger", secret, "internal error"},
		{"a wrapped stranger", fmt.Errorf("remote: %w: %w", pulperr.Invalid, secret), "invalid input"},
		{"public", public, `remote "r" needs a url`},
		{"wrapped public", fmt.Errorf("create: %w: %w", public, secret), `remote "r" needs a url`},
		{"the outer one of two", fmt.Errorf("%w: %w", pulperr.Public(pulperr.Conflict, "outer"), public), "outer"},
		{"a field", pulperr.Field("url", "%q is no URL", "x"), `url: "x" is no URL`},
		{"a field without a name", pulperr.Field("", "nothing given"), "nothing given"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := pulperr.Message(row.err); got != row.want {
				t.Errorf("Message(%v) = %q, want %q", row.err, got, row.want)
			}
		})
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	coded := pulperr.Coded("PLP0003", pulperr.Invalid, "digest %s", "x")
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"a stranger", fs.ErrClosed, ""},
		{"coded", coded, "PLP0003"},
		{"wrapped", fmt.Errorf("a: %w", coded), "PLP0003"},
		{"public without a code", pulperr.Public(pulperr.Invalid, "x"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := pulperr.Code(row.err); got != row.want {
				t.Errorf("Code(%v) = %q, want %q", row.err, got, row.want)
			}
		})
	}
}

func TestTypedErrorsCarryTheirData(t *testing.T) {
	t.Parallel()
	field, ok := errors.AsType[*pulperr.ValidationError](fmt.Errorf("a: %w", pulperr.Field("name", "%d is odd", 3)))
	if !ok || field.Field != "name" || field.Reason != "3 is odd" || field.PublicText() != "name: 3 is odd" {
		t.Errorf("ValidationError = %+v", field)
	}
	public, ok := errors.AsType[*pulperr.PublicError](pulperr.Coded("PLP0001", pulperr.Locked, "%s", "held"))
	if want := (pulperr.PublicError{Kind: pulperr.Locked, Code: "PLP0001", Text: "held"}); !ok || *public != want {
		t.Errorf("PublicError = %+v", public)
	}
}
