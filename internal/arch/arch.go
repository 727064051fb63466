// Package arch keeps the house in order. Its tests fail if a package imports upwards, if a source file breaks one of
// the rules that no compiler knows (init functions, maps at package level, blank imports, the global logger, the
// working directory, sleeping tests, sizes), if a path of somebody's machine is written down, or if the library gets a
// new dependency that nobody has accepted. Each rule is also tried on code that breaks it.
//
// CONTRIBUTING.md lists the rules for people, with the comments that excuse a place.
package arch
