package gomod

// ParsePath returns what a path asks for, and the path of the file that it names.
func ParsePath(p string) (module, version, kind, file string, ok bool) {
	t, ok := parsePath(p)
	if t.version != "" {
		file = (&Module{Path: t.module, Version: t.version}).file(t.kind)
	}
	return t.module, t.version, t.kind, file, ok
}
