package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

func decodeBody(raw []byte) error {
	_, err := wire.DecodeJSON(raw, 1000)
	return err
}

func members(n int) string {
	var s strings.Builder
	s.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&s, `"k%06d":1,`, i)
	}
	return strings.TrimSuffix(s.String(), ",") + "}"
}

// TestLargeBodiesAreRefusedBeforeTheyAreDecoded must run alone: it counts the allocations of the process.
func TestLargeBodiesAreRefusedBeforeTheyAreDecoded(t *testing.T) { //nolint:paralleltest // see above
	for _, text := range []string{members(700_000), members(1001), `{"a":[` + strings.Repeat("[],", 300_000) + `1]}`} {
		raw := []byte(text)
		var err error
		n := testing.AllocsPerRun(1, func() { err = decodeBody(raw) })
		if err == nil || n > 10 {
			t.Errorf("DecodeJSON(%.30s…) = %v with %v allocations, want an error and hardly any", text, err, n)
		}
	}
	for _, text := range []string{
		members(1000), `{"a,": "\",,,\\", "b": [{}, [], "]"]}`, `{"a": ["` + strings.Repeat(`x","`, 199_990) + `"]}`,
		`{"a": "` + strings.Repeat(",", 300_000) + `", "b": ` + members(2000) + `}`,
	} {
		if err := decodeBody([]byte(text)); err != nil {
			t.Errorf("DecodeJSON(%.30s…) = %v", text, err)
		}
	}
	for _, text := range []string{"", `"`, `"\`, `{"a`, `{"a": "\`, "]]]},,", "{,,}"} {
		if err := decodeBody([]byte(text)); err == nil {
			t.Errorf("DecodeJSON(%q) = nil, want an error", text)
		}
	}
}
