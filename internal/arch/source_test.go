package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Sizes that need a reason to be exceeded, in lines.
const (
	maxFile         = 600
	maxFunction     = 60
	maxTestFunction = 100
)

func TestSource(t *testing.T) {
	t.Parallel()
	for name, content := range goFiles(t) {
		for _, fault := range sourceFaults(name, content) {
			t.Error(fault)
		}
	}
}

// goFiles returns the Go files of this module, by their names relative to it.
func goFiles(t *testing.T) map[string][]byte {
	t.Helper()
	root, files := moduleDir(t), map[string][]byte{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(root, name, entry)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		files[filepath.ToSlash(rel)] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// skipFolder leaves out what is not ours or not code: hidden folders, test data, the modules within this one.
func skipFolder(root, name string, entry fs.DirEntry) error {
	if name == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	if strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || err == nil {
		return fs.SkipDir
	}
	return nil
}

// source is one parsed file.
type source struct {
	name    string // relative to the module, with slashes
	set     *token.FileSet
	file    *ast.File
	excused map[string][]int // "long", "sleep" or "chdir" to the lines of its comments
	faults  []string
}

func parseSource(name string, content []byte) (s *source, err error) {
	s = &source{name: name, set: token.NewFileSet(), excused: map[string][]int{}}
	s.file, err = parser.ParseFile(s.set, name, content, parser.ParseComments)
	return s, err
}

// sourceFaults returns what is wrong with one file, in the order of its lines within each rule.
func sourceFaults(name string, content []byte) []string {
	s, err := parseSource(name, content)
	if err != nil {
		return []string{err.Error()}
	}
	for _, group := range s.file.Comments {
		for _, comment := range group.List {
			for _, word := range []string{"long", "sleep", "chdir"} {
				if why, ok := strings.CutPrefix(comment.Text, "// "+word+": "); ok && strings.TrimSpace(why) != "" {
					s.excused[word] = append(s.excused[word], s.line(comment.Pos()))
				}
			}
		}
	}
	if !s.isTest() {
		s.checkInit()
		s.checkMaps()
		s.checkBlankImports()
	}
	s.checkCalls()
	s.checkSleeps()
	if !ast.IsGenerated(s.file) {
		s.checkSizes()
	}
	return s.faults
}

func (s *source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

func (s *source) line(pos token.Pos) int { return s.set.Position(pos).Line }

func (s *source) fault(pos token.Pos, format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf("%s:%d: %s", s.name, s.line(pos), fmt.Sprintf(format, args...)))
}

// excuse reports whether a comment "// word: why" stands on the lines from..to.
func (s *source) excuse(word string, from, to int) bool {
	return slices.ContainsFunc(s.excused[word], func(line int) bool { return from <= line && line <= to })
}

func (s *source) checkInit() {
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			s.fault(f.Pos(), "func init: state belongs to a value that somebody opens")
		}
	}
}

func (s *source) checkMaps() {
	if topOf(s.name) == "deprecation" {
		return // "once per call site" is a fact of the process
	}
	for _, decl := range s.file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if ok && (s.isMap(v.Type) || slices.ContainsFunc(v.Values, s.makesMap)) {
				s.fault(v.Pos(), "map at package level: two Apps would share it; use a switch, a function or a field")
			}
		}
	}
}

// isMap reports whether a type is a map, as far as the syntax tells.
func (s *source) isMap(typ ast.Expr) bool {
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	_, ok := typ.(*ast.MapType)
	return ok || s.isFrom(typ, "sync", "Map")
}

func (s *source) makesMap(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CompositeLit:
		return s.isMap(v.Type)
	case *ast.UnaryExpr:
		return s.makesMap(v.X)
	case *ast.CallExpr:
		f, ok := v.Fun.(*ast.Ident)
		return ok && (f.Name == "make" || f.Name == "new") && s.isMap(v.Args[0])
	}
	return false
}

func (s *source) checkBlankImports() {
	top := topOf(s.name)
	if isProgram(top) {
		return
	}
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil || spec.Name == nil || spec.Name.Name != "_" || mayBeBlank(path.Dir(s.name), imported) {
			continue
		}
		s.fault(spec.Pos(), "blank import of %s: only a host chooses drivers", imported)
	}
}

// mayBeBlank lists the blank imports with a reason.
func mayBeBlank(dir, imported string) bool {
	switch {
	case imported == "embed": // how the language asks for it
		return true
	case dir == "internal/sqldialect" && imported == "modernc.org/sqlite": // the embedded default, by database/sql's name
		return true
	}
	// storage/s3storage and its like exist to be imported by a host that wants the driver.
	driver, _ := path.Match("storage/*storage", dir)
	return driver && strings.HasPrefix(imported, "gocloud.dev/blob/")
}

// checkCalls finds uses of what is one per process.
func (s *source) checkCalls() {
	if topOf(s.name) == "deprecation" {
		return // a deprecated function has no logger to pass on
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		switch {
		case !ok:
		case s.isFrom(e, "os", "Chdir") && s.excuse("chdir", s.line(e.Pos())-1, s.line(e.Pos())):
		case s.isFrom(e, "os", "Chdir"), !s.isTest() && s.isFrom(e, "os", "Getwd"):
			s.fault(e.Pos(), "working directory: tasks of one process run side by side, so take a path or an *os.Root")
		case isProgram(topOf(s.name)) && s.isFrom(e, "log/slog", "SetDefault"): // the host's to decide
		case !s.isTest() && s.isFrom(e, "log/slog", "Default", "SetDefault", "Debug", "DebugContext", "Info",
			"InfoContext", "Warn", "WarnContext", "Error", "ErrorContext", "Log", "LogAttrs", "With"):
			s.fault(e.Pos(), "global logger: use the *slog.Logger that was passed in")
		}
		return true
	})
}

// checkSleeps finds tests that wait in real time. In a bubble of synctest time is virtual, and syntax cannot tell which
// functions run in one, so a file that imports synctest is trusted.
func (s *source) checkSleeps() {
	usesBubble := slices.ContainsFunc(s.file.Imports, func(spec *ast.ImportSpec) bool {
		return spec.Path.Value == `"testing/synctest"`
	})
	if !s.isTest() || usesBubble {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if ok && s.isFrom(e, "time", "Sleep") && !s.excuse("sleep", s.line(e.Pos())-1, s.line(e.Pos())) {
			s.fault(e.Pos(), "time.Sleep in a test: use testing/synctest, or give a reason by a comment \"// sleep: …\"")
		}
		return true
	})
}

func (s *source) checkSizes() {
	if lines := s.line(s.file.FileEnd); lines > maxFile && !s.excuse("long", 1, s.line(s.file.Package)) {
		s.fault(s.file.Package, "file of %d lines, want at most %d, or a comment \"// long: …\" above the package clause",
			lines, maxFile)
	}
	limit := maxFunction
	if s.isTest() {
		limit = maxTestFunction
	}
	before := s.line(s.file.Package)
	for _, decl := range s.file.Decls {
		from, to := s.line(decl.Pos()), s.line(decl.End())
		f, ok := decl.(*ast.FuncDecl)
		if lines := to - from + 1; ok && lines > limit && !s.excuse("long", before+1, from) {
			s.fault(f.Pos(), "function %s of %d lines, want at most %d, or a comment \"// long: …\" above it",
				f.Name.Name, lines, limit)
		}
		before = to
	}
}

// isFrom reports whether an expression names one of the given things of an imported package.
func (s *source) isFrom(e ast.Expr, imported string, names ...string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || !slices.Contains(names, selector.Sel.Name) {
		return false
	}
	pkg, ok := selector.X.(*ast.Ident)
	return ok && slices.ContainsFunc(s.file.Imports, func(spec *ast.ImportSpec) bool {
		if spec.Path.Value != strconv.Quote(imported) {
			return false
		}
		if spec.Name != nil {
			return spec.Name.Name == pkg.Name
		}
		return path.Base(imported) == pkg.Name
	})
}
