package minimal

import (
	"bufio"
	"iter"
	"os"
	"strconv"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// manifestLine is one line of a manifest.
type manifestLine struct {
	Line         int
	Path, SHA256 string
	Size         int64 // in bytes
}

// readManifest yields the lines of the manifest in a file. It ends with an error at a line that is malformed.
func readManifest(path string) iter.Seq2[manifestLine, error] {
	return func(yield func(manifestLine, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(manifestLine{}, err)
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			e, err := parseLine(n, lines.Text())
			if !yield(e, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(manifestLine{}, err)
		}
	}
}

func parseLine(n int, text string) (manifestLine, error) {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		return manifestLine{}, pulperr.Public(pulperr.Invalid, "manifest line %d: %q is not \"path,sha256,size\"", n, text)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return manifestLine{}, pulperr.Public(pulperr.Invalid, "manifest line %d: the size %q is not a number", n, fields[2])
	}
	return manifestLine{Line: n, Path: fields[0], SHA256: fields[1], Size: size}, nil
}
