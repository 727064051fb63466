package httpstatus

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
)

func TestEveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	k := pulperr.Internal
	for ; !strings.HasPrefix(k.Error(), "pulperr.Kind("); k++ {
		if int(k) >= len(statuses) || statuses[k] == 0 {
			t.Errorf("the kind %q has no status", k)
		} else if got := Of(k); got != statuses[k] || got < http.StatusBadRequest || http.StatusText(got) == "" {
			t.Errorf("Of(%q) = %d", k, got)
		}
	}
	if int(k) != len(statuses) {
		t.Errorf("the table ends at %d, the kinds at %d", len(statuses), k)
	}
	for _, unknown := range []pulperr.Kind{0, k, 255} {
		if got := Of(unknown); got != http.StatusInternalServerError {
			t.Errorf("Of(%d) = %d, want 500", uint8(unknown), got)
		}
	}
}
