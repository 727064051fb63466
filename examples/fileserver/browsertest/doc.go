// Package browsertest tests the reference host's page of tasks in a real browser. It is a module of its own, so that
// the browser's driver is no dependency of the library.
package browsertest
