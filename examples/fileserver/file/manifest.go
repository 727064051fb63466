package file

import (
	"bufio"
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
// memory. A line ends in LF, CR LF or CR, and is split at its last two commas, so a path may contain commas; quotation
// marks are part of a field. Blanks around the three fields are removed. Blank lines and lines that begin with "#" are
// passed over. A path may come more than once: the caller decides what that means.
//
// Errors, which come last: Invalid for the first line that is wrong, naming it; Unavailable if r fails.
//
// Mirrors pulp_file.manifest.Manifest.read.
func ReadManifest(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := bufio.NewReaderSize(&lineFeeds{r: r}, maxLine)
		for n := 1; ; n++ {
			raw, err := lines.ReadSlice('\n')
			switch {
			// The manifest comes from another server: a line without an end must not fill the memory.
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

// lineFeeds reads from r with every CR LF and every lone CR replaced by LF.
type lineFeeds struct {
	r  io.Reader
	cr bool // the last byte that was read is a CR
}

// Read implements [io.Reader].
func (l *lineFeeds) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	kept := p[:0]
	for _, c := range p[:n] {
		// The state is kept between calls, because CR and LF may come in different reads.
		after := l.cr
		l.cr = c == '\r'
		switch {
		case c == '\n' && after:
			continue
		case l.cr:
			c = '\n'
		}
		kept = append(kept, c)
	}
	return len(kept), err
}

// trimLine removes the blanks around a line, and in front of the first line the byte order mark. It returns "" for a
// comment.
func trimLine(line string, n int) string {
	if n == 1 {
		line = strings.TrimPrefix(line, byteOrderMark)
	}
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return ""
	}
	return line
}

// parseLine returns the fault in words, or "".
func parseLine(line string) (Entry, string) {
	fields := strings.Split(line, ",")
	n := len(fields)
	if n < 3 {
		return Entry{}, fmt.Sprintf("%d fields instead of path,sha256,size", n)
	}
	e := Entry{
		Path:   strings.TrimSpace(strings.Join(fields[:n-2], ",")),
		SHA256: strings.ToLower(strings.TrimSpace(fields[n-2])),
	}
	size := strings.TrimSpace(fields[n-1])
	var err error
	// ParseInt also takes a sign, which no manifest has.
	if e.Size, err = strconv.ParseInt(size, 10, 64); err != nil || strings.Trim(size, "0123456789") != "" {
		return Entry{}, fmt.Sprintf("%q is not a size in bytes", size)
	}
	return e, e.fault()
}

// lineSeparators are the characters beside the control characters at which Pulp ends a line.
const lineSeparators = "\u0085\u2028\u2029"

// fault returns the fault of an entry, or "".
func (e Entry) fault() string {
	switch {
	// The upstream chooses the path, and it becomes a path of the distribution and of the URL: ".." must not lead out.
	case !models.ValidPath(e.Path):
		return fmt.Sprintf("%q is not a canonical relative path", e.Path)
	case strings.ContainsAny(e.Path, lineSeparators):
		return fmt.Sprintf("%q contains a line separator, which a manifest cannot express", e.Path)
	case len(e.SHA256) != 64 || strings.Trim(e.SHA256, "0123456789abcdef") != "":
		return fmt.Sprintf("%q is not a sha256", e.SHA256)
	case e.Size < 0:
		return fmt.Sprintf("%d is not a size in bytes", e.Size)
	}
	return ""
}

// WriteEntry writes one line of a manifest. [ReadManifest] reads it as the same entry unless the path begins or ends
// with a blank or begins with "#": the format has no quotes, and Pulp writes such paths as they are, too.
//
// Errors: Invalid for an entry that is malformed, or whose line would be read as more than one entry, as with a line
// separator in the path; those of w.
//
// Mirrors pulp_file.manifest.Manifest.write.
func WriteEntry(w io.Writer, e Entry) error {
	if fault := e.fault(); fault != "" {
		return pulperr.Public(pulperr.Invalid, "manifest entry %q: %s", e.Path, fault)
	}
	_, err := fmt.Fprintf(w, "%s,%s,%d\n", e.Path, e.SHA256, e.Size)
	return err
}
