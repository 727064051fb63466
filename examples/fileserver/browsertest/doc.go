// Package browsertest tests the reference host in a real browser: its page of tasks, and that neither served files nor
// pages of other sites act with the rights of the administrator. It is a module of its own, so that the browser's
// driver is no dependency of the library.
package browsertest
