// Package unittest shows how a plugin is tested: see its test file. A whole App costs a test a few milliseconds, so
// the test needs no mocks.
package unittest
