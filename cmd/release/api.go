package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// deprecated is at the end of the declaration of what has a paragraph "Deprecated: " in its comment.
const deprecated = " // Deprecated"

// goSurface returns the exported declarations of the module's public packages. It reads the source without types: a
// declaration is its text, without names of parameters.
func goSurface(root string) (surface, error) {
	s := surface{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			return skipPrivate(rel)
		}
		if path.Ext(rel) != ".go" || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := path.Dir(rel)
		if pkg == "." {
			pkg = file.Name.Name
		}
		s[pkg] = "package"
		reader{surface: s, pkg: pkg}.file(file)
		return nil
	})
	return s, err
}

// skipPrivate leaves out folders without packages for others.
func skipPrivate(rel string) error {
	top, _, _ := strings.Cut(rel, "/")
	base := path.Base(rel)
	hidden := rel != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "internal")
	if hidden || slices.Contains([]string{"cmd", "contrib", "docs", "examples", "tools", fragmentsDir}, top) {
		return fs.SkipDir
	}
	return nil
}

// reader adds the declarations of one package to a surface.
type reader struct {
	surface surface
	pkg     string // its folder
}

func (r reader) file(f *ast.File) {
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			r.function(d)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					r.typeSpec(d, spec)
				case *ast.ValueSpec:
					r.values(d, spec)
				}
			}
		}
	}
}

// add adds a declaration. name is within the package.
func (r reader) add(name, decl string, docs ...*ast.CommentGroup) {
	for _, doc := range docs {
		if strings.Contains("\n"+doc.Text(), "\nDeprecated: ") {
			decl += deprecated
			break
		}
	}
	r.surface[r.pkg+"."+name] = decl
}

func (r reader) function(d *ast.FuncDecl) {
	if !d.Name.IsExported() {
		return
	}
	kind, name := "func", d.Name.Name
	if d.Recv != nil {
		recv := receiverName(d.Recv.List[0].Type)
		if !ast.IsExported(recv) {
			return
		}
		kind = "method (" + source(d.Recv.List[0].Type) + ")"
		name = recv + "." + name
	}
	r.add(name, kind+" "+d.Name.Name+signature(d.Type), d.Doc)
}

// receiverName returns the name of the type T in T, *T, *T[A, B] and p.T.
func receiverName(e ast.Expr) string {
	for {
		switch t := e.(type) {
		case *ast.StarExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		case *ast.IndexListExpr:
			e = t.X
		case *ast.SelectorExpr:
			return t.Sel.Name
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

func (r reader) typeSpec(d *ast.GenDecl, spec *ast.TypeSpec) {
	if !spec.Name.IsExported() {
		return
	}
	name, decl := spec.Name.Name, "type "+spec.Name.Name+parameters(spec.TypeParams)
	switch t := spec.Type.(type) {
	case *ast.StructType:
		decl += " struct"
		r.fields(name, t)
	case *ast.InterfaceType:
		decl += " interface"
		for _, m := range t.Methods.List {
			switch {
			case len(m.Names) == 0:
				decl += " + " + source(m.Type)
			case m.Names[0].IsExported():
				r.add(name+"."+m.Names[0].Name, "method "+m.Names[0].Name+signature(m.Type.(*ast.FuncType)), m.Doc)
			default:
				decl += " + sealed"
			}
		}
	default:
		if spec.Assign.IsValid() {
			decl += " ="
		}
		decl += " " + source(t)
	}
	r.add(name, decl, d.Doc, spec.Doc)
}

// docTag matches the key of a struct tag that explains a field in the API document, which may be said in other words.
var docTag = regexp.MustCompile(` ?\bdoc:"(?:[^"\\]|\\.)*"`)

// fields adds the exported fields of a struct, with their tags: they are columns, names on the wire and settings.
func (r reader) fields(owner string, t *ast.StructType) {
	for _, f := range t.Fields.List {
		decl := source(f.Type)
		if f.Tag != nil {
			if tag := docTag.ReplaceAllString(f.Tag.Value, ""); tag != "``" {
				decl += " " + tag
			}
		}
		if len(f.Names) == 0 {
			if name := receiverName(f.Type); ast.IsExported(name) {
				r.add(owner+"."+name, "embedded "+decl, f.Doc)
			}
		}
		for _, name := range f.Names {
			if name.IsExported() {
				r.add(owner+"."+name.Name, "field "+decl, f.Doc)
			}
		}
	}
}

// values adds constants and variables. Their values are not of the surface, their types are as far as they are written.
func (r reader) values(d *ast.GenDecl, spec *ast.ValueSpec) {
	for _, name := range spec.Names {
		if !name.IsExported() {
			continue
		}
		decl := d.Tok.String()
		if spec.Type != nil {
			decl += " " + source(spec.Type)
		}
		r.add(name.Name, decl, d.Doc, spec.Doc)
	}
}

// signature returns type parameters, parameters and results of a function, without names of parameters.
func signature(t *ast.FuncType) string {
	in, out := types(t.Params), types(t.Results)
	s := parameters(t.TypeParams) + "(" + strings.Join(in, ", ") + ")"
	switch len(out) {
	case 0:
		return s
	case 1:
		return s + " " + out[0]
	default:
		return s + " (" + strings.Join(out, ", ") + ")"
	}
}

// types returns the type of each parameter.
func types(list *ast.FieldList) (all []string) {
	if list == nil {
		return nil
	}
	for _, f := range list.List {
		for range max(1, len(f.Names)) {
			all = append(all, source(f.Type))
		}
	}
	return all
}

// parameters returns type parameters in brackets.
func parameters(list *ast.FieldList) string {
	if list == nil {
		return ""
	}
	var all []string
	for _, f := range list.List {
		var names []string
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
		all = append(all, strings.Join(names, ", ")+" "+source(f.Type))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// source returns the text of an expression in one line.
func source(e ast.Expr) string {
	if f, ok := e.(*ast.FuncType); ok {
		return "func" + signature(f)
	}
	var b bytes.Buffer
	if err := format.Node(&b, token.NewFileSet(), e); err != nil {
		return fmt.Sprintf("%T", e)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
