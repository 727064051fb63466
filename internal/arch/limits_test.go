package arch

import (
	"bufio"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Measures of the library that may only become smaller, except the number of exported names. The committed file
// limits.txt has a line for each: the measure, what it is measured of, the number, and a reason where one is due.
//
//   - exported: exported names of a public package, methods included. Growth is allowed and shows in the diff.
//   - methods: methods of a type that has more than maxMethods.
//   - spread: files with methods of a type, if they are more than maxSpread.
//   - reach: places below a folder that reach through a part into a part of that, as in w.queue.delivery.reset().
//   - words: words in the comments below a folder that hide the actor or the mechanism, see vagueWords.
const limitsFile = "limits.txt"

const (
	maxMethods = 25
	maxSpread  = 3
)

// vagueWords matches words that leave open which component acts, and metaphors for mechanisms that have a name.
var vagueWords = regexp.MustCompile(`(?i)\b(nobody|somebody|anybody|everybody|whoever|something|became of|` +
	`strangers?|buri(?:ed|es|al|als)|patience)\b`)

func TestLimits(t *testing.T) {
	t.Parallel()
	got := measures(libraryFiles(t))
	content, err := os.ReadFile(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	limits, err := parseLimits(string(content))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(limitsFile, []byte(limits.updated(got)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, fault := range limits.faults(got) {
		t.Error(fault)
	}
}

// libraryFiles returns the non-test files of the library and of packages for tests, without examples and tools.
func libraryFiles(t *testing.T) (files []*source) {
	t.Helper()
	for name, content := range goFiles(t) {
		top := topOf(name)
		if isProgram(top) || top == "tools" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		s, err := parseSource(name, content)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, s)
	}
	return files
}

// measures returns each measure by "<measure> <subject>".
func measures(files []*source) map[string]int {
	got, methods, spread := map[string]int{}, map[string]int{}, map[string]map[string]bool{}
	for _, s := range files {
		dir := path.Dir(s.name)
		whole := subject(dir) // files move within a folder with all that they have
		if top := topOf(dir); top != "internal" {
			whole = subject(top)
		}
		got["reach "+whole] += s.reaches()
		got["words "+whole] += s.vagueWords()
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil {
				owner := subject(dir) + "." + receiver(f)
				methods[owner]++
				if spread[owner] == nil {
					spread[owner] = map[string]bool{}
				}
				spread[owner][s.name] = true
			}
			if !strings.Contains(dir, "internal") && !isForTests(dir) {
				got["exported "+subject(dir)] += exported(decl)
			}
		}
	}
	for owner, n := range methods {
		if n > maxMethods {
			got["methods "+owner] = n
		}
		if n := len(spread[owner]); n > maxSpread {
			got["spread "+owner] = n
		}
	}
	maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
	return got
}

func subject(dir string) string {
	if dir == "." {
		return "pulpcore"
	}
	return dir
}

// receiver returns the name of the type that a method belongs to.
func receiver(f *ast.FuncDecl) string {
	typ := f.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name
		default:
			return "?"
		}
	}
}

// exported counts the exported names of a declaration.
func exported(decl ast.Decl) (n int) {
	count := func(names ...*ast.Ident) {
		for _, name := range names {
			if name.IsExported() {
				n++
			}
		}
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || ast.IsExported(receiver(d)) {
			count(d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				count(spec.Name)
			case *ast.ValueSpec:
				count(spec.Names...)
			}
		}
	}
	return n
}

// reaches counts selectors of at least three names the first two of which are not exported. What stands before them is
// a value then, not a package.
func (s *source) reaches() (n int) {
	ast.Inspect(s.file, func(node ast.Node) bool {
		outer, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		var names []string
		var x ast.Expr = outer
		for {
			sel, ok := x.(*ast.SelectorExpr)
			if !ok {
				break
			}
			names = append(names, sel.Sel.Name)
			x = sel.X
		}
		slices.Reverse(names)
		if _, ok := x.(*ast.Ident); ok && len(names) >= 3 && !ast.IsExported(names[0]) && !ast.IsExported(names[1]) {
			n++
		}
		return false // the selectors within are parts of this one
	})
	return n
}

// vagueWords counts the words in comments.
func (s *source) vagueWords() (n int) {
	for _, group := range s.file.Comments {
		n += len(vagueWords.FindAllString(group.Text(), -1))
	}
	return n
}

// limits is the content of limits.txt.
type limits map[string]limit

type limit struct {
	number int
	reason string
}

func parseLimits(text string) (limits, error) {
	l := limits{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line, reason, _ := strings.Cut(lines.Text(), " # ")
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s: line %q is not \"measure subject number\"", limitsFile, line)
		}
		number, err := strconv.Atoi(fields[2])
		if err != nil {
			return nil, fmt.Errorf("%s: line %q: %w", limitsFile, line, err)
		}
		l[fields[0]+" "+fields[1]] = limit{number, reason}
	}
	return l, nil
}

// faults returns the measures that exceed their limits.
func (l limits) faults(got map[string]int) (faults []string) {
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if allowed := l[key].number; got[key] > allowed {
			advice := "make smaller parts, or write the limit with its reason into " + limitsFile
			switch measure, _, _ := strings.Cut(key, " "); measure {
			case "exported":
				advice = "if the new name is meant, run make arch-update"
			case "words":
				advice = "name the component that acts, and use the field's word for the mechanism"
			case "reach":
				advice = "give the part what it uses, instead of reaching through another part"
			}
			faults = append(faults, fmt.Sprintf("%s: %d, the limit is %d; %s", key, got[key], allowed, advice))
		}
	}
	return faults
}

// updated returns the file with limits as low as they can be. Only the numbers of exported names grow.
func (l limits) updated(got map[string]int) string {
	var lines []string
	for key, n := range got {
		was, known := l[key]
		switch {
		case strings.HasPrefix(key, "exported "):
		case !known:
			continue
		default:
			n = min(n, was.number)
		}
		line := fmt.Sprintf("%s %d", key, n)
		if was.reason != "" {
			line += " # " + was.reason
		}
		lines = append(lines, line+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestMeasuresOnWrongCode(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	many.WriteString("package tasking\n")
	for i := range maxMethods + 1 {
		fmt.Fprintf(&many, "func (h *Hub[T]) m%d() {}\n", i)
	}
	texts := [][2]string{
		{"tasking/a.go", "package tasking\n\n// run is what became of it. Nobody waits.\n" +
			"func (w *Worker) run() { w.q.delivery.reset(); w.q.done(); ast.Inspect.x.y() }\n\nfunc (w Worker) Stop() {}"},
		{"tasking/b.go", "package tasking\nfunc (w *Worker) b() {}\nconst A, b = 1, 2\ntype T struct{}"},
		{"tasking/c.go", "package tasking\nfunc (w *Worker) c() {}\nfunc (u *unexported) C() {}"},
		{"tasking/d.go", "package tasking\nfunc (w *Worker) d() {}\nvar V int"},
		{"tasking/hub.go", many.String()},
		{"tasking/internal/x/x.go", "package x\nfunc X() {}"},
	}
	var files []*source
	for _, text := range texts {
		s, err := parseSource(text[0], []byte(text[1]))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, s)
	}
	got := measures(files)
	want := map[string]int{
		"exported tasking": 4, "methods tasking.Hub": maxMethods + 1, "reach tasking": 1, "spread tasking.Worker": 4,
		"words tasking": 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measures (-want +got):\n%s", diff)
	}
	l, err := parseLimits("exported tasking 3\nspread tasking.Worker 5 # it is old\nwords rest 1\nwords tasking 1\n")
	if err != nil {
		t.Fatal(err)
	}
	wantFaults := []string{
		"exported tasking: 4, the limit is 3; if the new name is meant, run make arch-update",
		"methods tasking.Hub: 26, the limit is 0; make smaller parts, or write the limit with its reason into limits.txt",
		"reach tasking: 1, the limit is 0; give the part what it uses, instead of reaching through another part",
		"words tasking: 2, the limit is 1; name the component that acts, and use the field's word for the mechanism",
	}
	if diff := cmp.Diff(wantFaults, l.faults(got)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	const updated = "exported tasking 4\nspread tasking.Worker 4 # it is old\nwords tasking 1\n"
	if diff := cmp.Diff(updated, l.updated(got)); diff != "" {
		t.Errorf("updated (-want +got):\n%s", diff)
	}
	if _, err := parseLimits("words tasking\n"); err == nil {
		t.Error("parseLimits of a line without a number succeeds")
	}
}
