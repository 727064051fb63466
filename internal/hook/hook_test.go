package hook_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/internal/hook"
)

type (
	checker interface{ Check(n int) error }
	namer   interface {
		Names(prefix string, more ...int) (string, bool)
	}
	closer  interface{ Shut() }
	request struct{}
	asker   interface {
		Ask(r *request) error
	}
)

type (
	right struct{}
	wrong struct{}
)

func (right) Check(int) error                          { return nil }
func (*right) Names(string, ...int) (_ string, _ bool) { return "", true }
func (*right) Ask(*request) error                      { return nil }
func (wrong) Check() error                             { return nil }
func (*wrong) Names(int, ...string)                    {}
func (*wrong) Ask(request) error                       { return nil }

func TestFaults(t *testing.T) {
	t.Parallel()
	hooks := []reflect.Type{
		reflect.TypeFor[checker](), reflect.TypeFor[namer](), reflect.TypeFor[closer](), reflect.TypeFor[asker](),
	}
	if faults := hook.Faults(reflect.TypeFor[*right](), hooks...); len(faults) != 0 {
		t.Errorf("Faults of a type with right methods = %v, want none", faults)
	}
	var got []string
	for _, err := range hook.Faults(reflect.TypeFor[*wrong](), hooks...) {
		got = append(got, err.Error())
	}
	want := []string{
		"method Check() error is never called, because a hook_test.checker has Check(int) error; " +
			"give it that signature or another name",
		"method Names(int, ...string) is never called, because a hook_test.namer has " +
			"Names(string, ...int) (string, bool); give it that signature or another name",
		"method Ask(hook_test.request) error is never called, because a hook_test.asker has " +
			"Ask(*hook_test.request) error; give it that signature or another name",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Faults (-want +got):\n%s", diff)
	}
}
