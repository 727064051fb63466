package secrets_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/secrets"
)

func TestEncryptedTextIsNeverPrinted(t *testing.T) {
	t.Parallel()
	row := struct{ Token secrets.EncryptedText }{secrets.NewEncryptedText("hush")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%08.3f"} {
		for _, v := range []any{row, &row, row.Token, &row.Token} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "hush") || strings.Contains(got, "68757368") {
				t.Errorf("Sprintf(%s, %T) = %s", verb, v, got)
			}
		}
	}
	if got, err := json.Marshal(row); err != nil || strings.Contains(string(got), "hush") {
		t.Errorf("json.Marshal = %s, %v", got, err)
	}
}
