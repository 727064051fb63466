package file

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
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

// byteOrderMark begins files of some editors.
const byteOrderMark = "\ufeff"

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

// ReadManifest yields the entries of a PULP_MANIFEST, in UTF-8 with or without byte order mark, holding one line in
// memory. Lines may end in CR LF; blank ones are passed over. A path with a comma or a quotation mark in it may be
// quoted as in CSV. A path may come more than once: what that means is for the reader's caller to say.
//
// Errors, which come last: Invalid for the first line that is wrong, naming it; Unavailable if r fails.
func ReadManifest(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := bufio.NewReaderSize(r, maxLine)
		for n := 1; ; n++ {
			raw, err := lines.ReadSlice('\n')
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				yield(Entry{}, pulperr.Public(pulperr.Invalid, "manifest line %d: longer than %d bytes", n, maxLine))
				return
			case err != nil && !errors.Is(err, io.EOF): // not a Scanner: it would take a line that was cut for one
				yield(Entry{}, fmt.Errorf("file: read manifest: %w: %w", pulperr.Unavailable, err))
				return
			}
			if line := trimLine(string(raw), n); line != "" {
				e, fault := parseLine(line)
				if fault != "" {
					yield(Entry{}, pulperr.Public(pulperr.Invalid, "manifest line %d: %s", n, fault))
					return
				}
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// trimLine removes the line's end, and in front of the first line the byte order mark. Of a blank line nothing is left.
func trimLine(line string, n int) string {
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if n == 1 {
		line = strings.TrimPrefix(line, byteOrderMark)
	}
	if strings.TrimSpace(line) == "" {
		return ""
	}
	return line
}

// parseLine returns the fault in words, or "".
func parseLine(line string) (Entry, string) {
	path, rest, fault := cutPath(line)
	if fault != "" {
		return Entry{}, fault
	}
	digest, size, _ := strings.Cut(rest, ",")
	e := Entry{Path: path, SHA256: strings.ToLower(strings.TrimSpace(digest))}
	var err error
	size = strings.TrimSpace(size)
	if e.Size, err = strconv.ParseInt(size, 10, 64); err != nil || strings.Trim(size, "0123456789") != "" {
		return Entry{}, fmt.Sprintf("%q is not a size in bytes", size)
	}
	return e, e.fault()
}

// fault says what is wrong with an entry, or "".
func (e Entry) fault() string {
	switch {
	case !models.ValidPath(e.Path):
		return fmt.Sprintf("%q is not a canonical relative path", e.Path)
	case len(e.SHA256) != 64 || strings.Trim(e.SHA256, "0123456789abcdef") != "":
		return fmt.Sprintf("%q is not a sha256", e.SHA256)
	case e.Size < 0:
		return fmt.Sprintf("%d is not a size in bytes", e.Size)
	}
	return ""
}

// cutPath splits a line behind its path: at the comma before the last one, or behind the quotes.
func cutPath(line string) (path, rest, fault string) {
	if strings.HasPrefix(line, `"`) {
		fields, err := csv.NewReader(strings.NewReader(line)).Read()
		switch {
		case err != nil:
			return "", "", "the quotes around the path are wrong"
		case len(fields) != 3:
			return "", "", fmt.Sprintf("%d fields instead of path,sha256,size", len(fields))
		}
		return fields[0], fields[1] + "," + fields[2], ""
	}
	fields := strings.Split(line, ",")
	n := len(fields)
	if n < 3 {
		return "", "", fmt.Sprintf("%d fields instead of path,sha256,size", n)
	}
	return strings.Join(fields[:n-2], ","), fields[n-2] + "," + fields[n-1], ""
}

// WriteEntry writes one line of a manifest, which [ReadManifest] reads as the same entry.
//
// Errors: Invalid for an entry that cannot be in a manifest; those of w.
func WriteEntry(w io.Writer, e Entry) error {
	if fault := e.fault(); fault != "" {
		return pulperr.Public(pulperr.Invalid, "manifest entry %q: %s", e.Path, fault)
	}
	path := e.Path
	if strings.ContainsAny(path, `",`) || strings.HasPrefix(path, byteOrderMark) {
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
