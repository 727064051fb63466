// Package guide has the code of docs/plugins.md, the guide for plugin writers: a plugin "note", whose content are short
// texts, in one file per chapter. Each block of the guide is a declaration or an Example of this package.
package guide
