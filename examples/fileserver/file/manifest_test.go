package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/pulperr"
)

var (
	sumA = strings.Repeat("a1", 32)
	sumB = strings.Repeat("0f", 32)
)

func read(r io.Reader) (list []file.Entry, err error) {
	for e, err := range file.ReadManifest(r) {
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
	return list, nil
}

func TestReadManifest(t *testing.T) {
	t.Parallel()
	one := func(path string) []file.Entry { return []file.Entry{{Path: path, SHA256: sumA, Size: 3}} }
	for _, row := range []struct {
		name string
		text string
		want []file.Entry
	}{
		{"nothing", "", nil},
		{"only blank lines", "\n\r\n \t\n\n", nil},
		{"one line", "a.txt," + sumA + ",3\n", one("a.txt")},
		{"no line feed at the end", "a.txt," + sumA + ",3", one("a.txt")},
		{"CR LF", "a.txt," + sumA + ",3\r\nb," + sumB + ",0\r\n", append(one("a.txt"), file.Entry{Path: "b", SHA256: sumB})},
		{"lone CR", "a.txt," + sumA + ",3\rb," + sumB + ",0\r", append(one("a.txt"), file.Entry{Path: "b", SHA256: sumB})},
		{"LF CR", "a.txt," + sumA + ",3\n\rb," + sumB + ",0\n\r", append(one("a.txt"), file.Entry{Path: "b", SHA256: sumB})},
		{"comments", "# " + sumA + "\na.txt," + sumA + ",3\n \t#b," + sumB + ",0\n", one("a.txt")},
		{"a byte order mark and a comment", "\ufeff#b," + sumB + ",0\na.txt," + sumA + ",3\n", one("a.txt")},
		{"blank lines between", "\na.txt," + sumA + ",3\n\n", one("a.txt")},
		{"a byte order mark", "\ufeffa.txt," + sumA + ",3\n", one("a.txt")},
		{"a sha256 in capitals", "a.txt," + strings.ToUpper(sumA) + ",3\n", one("a.txt")},
		{"spaces around sha256 and size", "a.txt, " + sumA + " , 3 \n", one("a.txt")},
		{"spaces in the path", "a  b .txt," + sumA + ",3\n", one("a  b .txt")},
		{"blanks around the path", " \ta.txt\u00a0 ," + sumA + ",3\n", one("a.txt")},
		{"characters that URLs need", "a%41?b#c&d;e," + sumA + ",3\n", one("a%41?b#c&d;e")},
		{"letters of other scripts", "ü/中文/😀," + sumA + ",3\n", one("ü/中文/😀")},
		{"commas", "a,b,c," + sumA + ",3\n", one("a,b,c")},
		{"blanks around commas", "a , b," + sumA + ",3\n", one("a , b")},
		{"quotes around the path", `"a.txt",` + sumA + ",3\n", one(`"a.txt"`)},
		{"quotes around a part of the path", `"a" b.txt,` + sumA + ",3\n", one(`"a" b.txt`)},
		{"commas in quotes", `"a,b""c",` + sumA + ",3\n", one(`"a,b""c"`)},
		{"quotes that do not end", `"a,b,` + sumA + ",3\n", one(`"a,b`)},
		{"a number sign inside", "a#b," + sumA + ",3\n", one("a#b")},
		{
			"a path twice", "a," + sumA + ",3\na," + sumA + ",3\na," + sumB + ",4\n",
			append(append(one("a"), one("a")...), file.Entry{Path: "a", SHA256: sumB, Size: 4}),
		},
		{
			"the largest size", "a," + sumA + ",9223372036854775807\n",
			[]file.Entry{{Path: "a", SHA256: sumA, Size: 1<<63 - 1}},
		},
		{"the longest path", strings.Repeat("x", 2000) + "," + sumA + ",3\n", one(strings.Repeat("x", 2000))},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{
				strings.NewReader(row.text), iotest.OneByteReader(strings.NewReader(row.text)),
			} {
				got, err := read(r)
				if diff := cmp.Diff(row.want, got); err != nil || diff != "" {
					t.Errorf("ReadManifest(%q) = %v (-want +got):\n%s", row.text, err, diff)
				}
			}
		})
	}
}

func TestReadManifestRefuses(t *testing.T) {
	t.Parallel()
	line := func(path string) string { return path + "," + sumA + ",3" }
	for _, row := range []struct {
		name string
		line string
		want string
	}{
		{"one field", "a.txt", "1 fields instead of path,sha256,size"},
		{"two fields", "a.txt," + sumA, "2 fields instead of path,sha256,size"},
		{"HTML", "<!doctype html>", "1 fields instead of"},
		{"fields that are swapped", "a.txt,3," + sumA, `"` + sumA + `" is not a size`},
		{"no path", " " + line(""), `"" is not a canonical relative path`},
		{"an absolute path", line("/etc/passwd"), `"/etc/passwd" is not a canonical relative path`},
		{"a path that climbs", line("../a"), "is not a canonical relative path"},
		{"a path that climbs inside", line("a/../../b"), "is not a canonical relative path"},
		{"a dot", line("."), "is not a canonical relative path"},
		{"a dot inside", line("a/./b"), "is not a canonical relative path"},
		{"two slashes", line("a//b"), "is not a canonical relative path"},
		{"a slash at the end", line("a/"), "is not a canonical relative path"},
		{"a NUL", line("a\x00b"), `"a\x00b" is not a canonical relative path`},
		{"a tab", line("a\tb"), `"a\tb" is not a canonical relative path`},
		{"a carriage return inside", line("a\rb"), "1 fields instead of"},
		{"a vertical tab", line("a\vb"), "is not a canonical relative path"},
		{"a next line", line("a\u0085b"), `"a\u0085b" contains a line separator`},
		{"a line separator", line("a\u2028b"), `"a\u2028b" contains a line separator`},
		{"a paragraph separator", line("a\u2029b"), `"a\u2029b" contains a line separator`},
		{"no UTF-8", line("a\xffb"), `"a\xffb" is not a canonical relative path`},
		{"UTF-16", "\xff\xfea\x00,\x00", "2 fields instead of"},
		{"a byte order mark in the wrong place", "\ufeff\ufeff", "1 fields instead of"},
		{"a path that is too long", line(strings.Repeat("x", 2001)), "is not a canonical relative path"},
		{"a short sha256", "a,abc,3", `"abc" is not a sha256`},
		{"a long sha256", "a," + sumA + "0,3", "is not a sha256"},
		{"a sha256 that is no hex", "a," + strings.Repeat("g", 64) + ",3", "is not a sha256"},
		{"no sha256", "a,,3", `"" is not a sha256`},
		{"no size", "a," + sumA + ",", `"" is not a size in bytes`},
		{"a negative size", "a," + sumA + ",-1", `"-1" is not a size in bytes`},
		{"a size with a plus", "a," + sumA + ",+1", `"+1" is not a size in bytes`},
		{"a size with a fraction", "a," + sumA + ",1.5", `"1.5" is not a size in bytes`},
		{"a size that is too large", "a," + sumA + ",9223372036854775808", "is not a size in bytes"},
		{"a line that is too long", strings.Repeat("x", 70_000), "longer than 65536 bytes"},
		{"a line that is too long by its size", line("a") + strings.Repeat("0", 70_000), "longer than 65536 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := read(strings.NewReader("ok," + sumB + ",1\n\n" + row.line + "\nnever," + sumB + ",1\n"))
			if !errors.Is(err, pulperr.Invalid) || !strings.Contains(pulperr.Message(err), row.want) ||
				!strings.HasPrefix(pulperr.Message(err), "manifest line 3: ") {
				t.Errorf("ReadManifest(%.80q) = %v, want Invalid with %q", row.line, err, row.want)
			}
			if len(got) != 1 {
				t.Errorf("%d entries came before the fault, want 1", len(got))
			}
		})
	}
}

func TestReadManifestOfABrokenReader(t *testing.T) {
	t.Parallel()
	cause := errors.New("the cable broke")
	r := io.MultiReader(strings.NewReader("ok,"+sumB+",1\nhalf a li"), iotest.ErrReader(cause))
	got, err := read(r)
	if !errors.Is(err, cause) || !errors.Is(err, pulperr.Unavailable) || len(got) != 1 {
		t.Errorf("ReadManifest() = %v, %v, want one entry and the cause: a line that was cut is none", got, err)
	}
}

func TestReadManifestStops(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a,"+sumA+",3\n", 10)
	n := 0
	for _, err := range file.ReadManifest(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d entries", n)
	}
}

func TestOpenManifest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "PULP_MANIFEST")
	for _, err := range file.OpenManifest(path) {
		if !errors.Is(err, pulperr.Unavailable) {
			t.Errorf("OpenManifest() of a file that is not there = %v, want Unavailable", err)
		}
	}
	if err := os.WriteFile(path, []byte("a,"+sumA+",3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range file.OpenManifest(path) {
		if n++; err != nil || e.Path != "a" {
			t.Errorf("OpenManifest() = %+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestWriteEntry(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		entry file.Entry
		want  string // "" is an error
	}{
		{file.Entry{Path: "a b", SHA256: sumA, Size: 3}, "a b," + sumA + ",3\n"},
		{file.Entry{Path: "a,b", SHA256: sumA}, "a,b," + sumA + ",0\n"},
		{file.Entry{Path: `"a" b`, SHA256: sumA}, `"a" b,` + sumA + ",0\n"},
		{file.Entry{Path: " #a ", SHA256: sumA}, " #a ," + sumA + ",0\n"},
		{file.Entry{Path: "\ufeffa", SHA256: sumA}, "\ufeffa," + sumA + ",0\n"},
		{file.Entry{Path: "a\nb", SHA256: sumA}, ""},
		{file.Entry{Path: "a\rb", SHA256: sumA}, ""},
		{file.Entry{Path: "a\u2028b," + sumA + ",1\u2028c", SHA256: sumA}, ""},
		{file.Entry{Path: "../a", SHA256: sumA}, ""},
		{file.Entry{Path: "a"}, ""},
		{file.Entry{Path: "a", SHA256: strings.ToUpper(sumA)}, ""},
		{file.Entry{Path: "a", SHA256: sumA, Size: -1}, ""},
	} {
		var b strings.Builder
		err := file.WriteEntry(&b, row.entry)
		if b.String() != row.want || (err == nil) != (row.want != "") || err != nil && !errors.Is(err, pulperr.Invalid) {
			t.Errorf("WriteEntry(%+v) = %q, %v, want %q", row.entry, b.String(), err, row.want)
		}
	}
}

// FuzzReadManifest reads anything, and reads again what it writes of that.
func FuzzReadManifest(f *testing.F) {
	for _, seed := range []string{
		"", "a," + sumA + ",3\n", "\ufeffa," + sumA + ",3\r\n\r\n", `"a,""b",` + sumA + ",0", "a,b,c," + sumA + ",3",
		"../a," + sumA + ",3", "a," + sumA + ",-1", "a\x00," + sumA + ",1", `"` + "\n" + `",` + sumA + ",1",
		"\n\ufeffa," + sumA + ",3", "# a," + sumA + ",3", "a," + sumA + ",3\rb," + sumA + ",3\r\r\n", " ," + sumA + ",3", "a,\u00a0" + sumA + ",3", "\x85," + sumA + ",3",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := read(bytes.NewReader(text))
		if err != nil && !errors.Is(err, pulperr.Invalid) {
			t.Errorf("ReadManifest() = %v, want nil or Invalid", err)
		}
		b := bytes.NewBufferString("\n") // in the first line a byte order mark is none of the path
		for _, e := range first {
			if err := file.WriteEntry(b, e); err != nil {
				t.Fatalf("WriteEntry(%+v) = %v, of an entry that was read", e, err)
			}
		}
		second, err := read(b)
		if diff := cmp.Diff(first, second); err != nil || diff != "" {
			t.Errorf("read again: %v (-first +second):\n%s", err, diff)
		}
	})
}

func BenchmarkReadManifest(b *testing.B) {
	var text bytes.Buffer
	for i := range 10_000 {
		if err := file.WriteEntry(&text, file.Entry{Path: fmt.Sprintf("dir/file-%d", i), SHA256: sumA, Size: 7}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if list, err := read(bytes.NewReader(text.Bytes())); err != nil || len(list) != 10_000 {
			b.Fatalf("%d entries, %v", len(list), err)
		}
	}
}
