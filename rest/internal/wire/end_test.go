package wire

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestEndFinder reads bodies in one piece and byte by byte.
func TestEndFinder(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"--b--": true, "--b\r\n\r\nx\r\n--b--\r\n": true, "x\n--b--": true, "": false, "--b": false, "--b-": false, "--b\r\n--b\r\n": false,
		"x--b--": false, "\r\n--b-x-": false, strings.Repeat("\n--b-\n", 1000) + "--b--": true, strings.Repeat("\n--b-", 1000): false,
	} {
		for name, source := range map[string]io.Reader{
			"one piece": strings.NewReader(body), "bytes": iotest.OneByteReader(strings.NewReader(body)),
			"halves": iotest.HalfReader(strings.NewReader(body)),
		} {
			e := newEndFinder(source, "b")
			got, err := io.ReadAll(e)
			if err != nil || string(got) != body || e.found != want {
				t.Errorf("%.30q in %s: found = %t, %v, want %t", body, name, e.found, err, want)
			}
		}
	}
}
