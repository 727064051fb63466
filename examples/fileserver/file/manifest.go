package file

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Entry is one line of a manifest: "path,sha256,size".
type Entry struct {
	Path   string // canonical relative path; may contain spaces and letters of any script
	SHA256 string // lowercase hex
	Size   int64  // bytes
}

// maxLine bounds a manifest's lines, in bytes.
const maxLine = 64 << 10

// OpenManifest is [ReadManifest] for a file.
func OpenManifest(path string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(Entry{}, fmt.Errorf("file: open manifest: %w: %w", pulperr.Unavailable, err))
			return
		}
		defer f.Close()
		ReadManifest(f)(yield)
	}
}

// ReadManifest yields the entries of a PULP_MANIFEST, holding one line in memory. Empty lines are passed over. A path
// with a comma or a quotation mark in it may be quoted as in CSV. The first line that is wrong ends the reading with
// an error of kind Invalid that names it.
func ReadManifest(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), maxLine)
		n := 0
		for lines.Scan() {
			n++
			line := strings.TrimSuffix(lines.Text(), "\r")
			if strings.TrimSpace(line) == "" {
				continue
			}
			e, fault := parseLine(line)
			if fault != "" {
				yield(Entry{}, pulperr.Public(pulperr.Invalid, "manifest line %d: %s", n, fault))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		switch err := lines.Err(); err {
		case nil:
		case bufio.ErrTooLong:
			yield(Entry{}, pulperr.Public(pulperr.Invalid, "manifest line %d: longer than %d bytes", n+1, maxLine))
		default:
			yield(Entry{}, fmt.Errorf("file: read manifest: %w: %w", pulperr.Unavailable, err))
		}
	}
}

// parseLine returns the fault in words, or "".
func parseLine(line string) (Entry, string) {
	fields := strings.Split(line, ",")
	if strings.HasPrefix(line, `"`) {
		var err error
		if fields, err = csv.NewReader(strings.NewReader(line)).Read(); err != nil {
			return Entry{}, "a quoted path is not closed"
		}
	}
	if len(fields) < 3 {
		return Entry{}, fmt.Sprintf("%d fields instead of path,sha256,size", len(fields))
	}
	last := len(fields) - 1
	e := Entry{Path: strings.Join(fields[:last-1], ","), SHA256: strings.ToLower(strings.TrimSpace(fields[last-1]))}
	if !models.ValidPath(e.Path) {
		return Entry{}, fmt.Sprintf("%q is not a canonical relative path", e.Path)
	}
	if len(e.SHA256) != 64 || strings.Trim(e.SHA256, "0123456789abcdef") != "" {
		return Entry{}, fmt.Sprintf("%q is not a sha256", e.SHA256)
	}
	size, err := strconv.ParseInt(strings.TrimSpace(fields[last]), 10, 64)
	if err != nil || size < 0 {
		return Entry{}, fmt.Sprintf("%q is not a size in bytes", fields[last])
	}
	e.Size = size
	return e, ""
}

// WriteEntry writes one line of a manifest.
func WriteEntry(w io.Writer, e Entry) error {
	path := e.Path
	if strings.ContainsAny(path, `",`) {
		path = `"` + strings.ReplaceAll(path, `"`, `""`) + `"`
	}
	_, err := fmt.Fprintf(w, "%s,%s,%d\n", path, e.SHA256, e.Size)
	return err
}

// writeManifest writes the manifest of a version.
func writeManifest(ctx context.Context, db *models.DB, v *models.RepositoryVersion, w io.Writer) error {
	b := bufio.NewWriter(w)
	for f, err := range v.Files(ctx, db) {
		if err != nil {
			return err
		}
		e := Entry{Path: f.RelativePath, SHA256: f.SHA256}
		if f.Size != nil {
			e.Size = *f.Size
		}
		if err := WriteEntry(b, e); err != nil {
			return err
		}
	}
	return b.Flush()
}
