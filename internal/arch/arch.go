// Package arch has the tests that keep the structure of the library. They fail if a package imports upwards, if a
// source file breaks a rule that the compiler does not know (init functions, maps at package level, blank imports, the
// global logger, the working directory, sleeping tests, sizes), if a type or the wording of a package exceeds its limit
// in limits.txt, if a path of one machine is written down, or if the library gets a module that dependencies.txt does
// not list. Each rule is also tried on code that breaks it.
//
// CONTRIBUTING.md lists the rules for contributors, with the comments that excuse a place.
package arch
