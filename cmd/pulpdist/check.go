package main

import (
	"errors"
	"fmt"
	"go/token"
	"regexp"
	"strings"
)

// What is written into Go, units and scripts has one of these forms, none of which needs quotes in any of them.
var (
	namePattern     = regexp.MustCompile(`\A[a-z][a-z0-9-]{0,30}\z`)
	importPattern   = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9_~][A-Za-z0-9._~-]*)*\z`)
	versionPattern  = regexp.MustCompile(`\A(v[0-9][A-Za-z0-9.+-]*|[A-Za-z0-9][A-Za-z0-9._-]*)\z`)
	functionPattern = regexp.MustCompile(`\A[A-Z][A-Za-z0-9_]*\z`)
	packagePattern  = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9.+:_-]*\z`)
)

// distribution returns all faults of a distribution, joined.
func (c *checker) distribution(d *distribution) error {
	c.form("name", d.Name, namePattern, "lowercase letters, digits and -")
	c.form("user", d.User, namePattern, "lowercase letters, digits and -")
	c.source("pulpcore", d.Core)
	if len(d.Plugins) == 0 {
		c.fault("plugins: there is none")
	}
	modules := map[string]source{core: d.Core}
	seen := map[string]int{}
	settings := map[string]string{}
	c.settings("settings", d.Settings, settings)
	for i, p := range d.Plugins {
		at := fmt.Sprintf("plugins[%d]", i)
		p.check(c, at)
		if first, twice := seen[p.Package+"."+p.Function]; twice {
			c.fault("%s: %s.%s is plugins[%d] already; remove one", at, p.Package, p.Function, first)
		} else {
			seen[p.Package+"."+p.Function] = i
		}
		if other, ok := modules[p.Module]; ok && other != p.Source {
			c.fault("%s: the module %s has another version or path in an earlier place; a program has one of each module",
				at, p.Module)
		}
		modules[p.Module] = p.Source
		c.settings(at+".settings", p.Settings, settings)
	}
	return errors.Join(c.faults...)
}

func (p *plugin) check(c *checker, at string) {
	c.form(at+".module", p.Module, importPattern, "the path of a Go module")
	c.form(at+".package", p.Package, importPattern, "an import path")
	if p.Package != p.Module && !strings.HasPrefix(p.Package, p.Module+"/") {
		c.fault("%s.package: %q is not in the module %q", at, p.Package, p.Module)
	}
	if !functionPattern.MatchString(p.Function) || !token.IsExported(p.Function) {
		c.fault("%s.function: %q is not the name of an exported Go function", at, p.Function)
	}
	c.source(at, p.Source)
	for _, name := range append(append([]string(nil), p.Prerequisites.Apt...), p.Prerequisites.Dnf...) {
		c.form(at+".prerequisites", name, packagePattern, "the name of a package")
	}
	for list, steps := range map[string][]step{"before": p.Before, "after": p.After} {
		for i, s := range steps {
			if len(s.Run) == 0 || s.Run[0] == "" {
				c.fault("%s.%s[%d].run: it is empty; write a list of the program and its arguments", at, list, i)
			}
			for _, arg := range s.Run {
				if strings.ContainsRune(arg, 0) {
					c.fault("%s.%s[%d].run: an argument has a NUL, which no program can get", at, list, i)
				}
			}
		}
	}
}

// checker gathers faults.
type checker struct{ faults []error }

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

func (c *checker) form(at, value string, pattern *regexp.Regexp, want string) {
	if !pattern.MatchString(value) {
		c.fault("%s: %q is not of the form: %s", at, value, want)
	}
}

func (c *checker) source(at string, s source) {
	if (s.Version == "") == (s.Path == "") {
		c.fault("%s: it needs either version or path", at)
	}
	if s.Version != "" {
		c.form(at+".version", s.Version, versionPattern, "a version such as v1.2.3, or latest")
	}
	if strings.ContainsAny(s.Path, "\x00\n\r") {
		c.fault("%s.path: %q has a NUL or a newline", at, s.Path)
	}
}

// settings refuses a key that two places set. The values are checked by the program that is made.
func (c *checker) settings(at string, m map[string]any, seen map[string]string) {
	for key := range m {
		if other, twice := seen[key]; twice {
			c.fault("%s: %s is set in %s already; remove one", at, key, other)
		}
		seen[key] = at
	}
}
