// Package unittest shows how a plugin is tested: see its test file. A whole App costs a test a few milliseconds, so
// there is nothing to mock.
package unittest
