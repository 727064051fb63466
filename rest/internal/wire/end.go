package wire

import (
	"bytes"
	"io"
)

// endFinder notes whether the last boundary of a multipart body has passed through it.
type endFinder struct {
	source io.Reader
	mark   []byte // the last boundary, with the end of the line before it
	tail   []byte // what was read last, one byte shorter than mark
	found  bool
}

func newEndFinder(source io.Reader, boundary string) *endFinder {
	// A boundary is at the beginning of a line, and the body begins with a line.
	return &endFinder{source: source, mark: []byte("\n--" + boundary + "--"), tail: []byte{'\n'}}
}

// Read is of io.Reader.
func (e *endFinder) Read(p []byte) (int, error) {
	n, err := e.source.Read(p)
	if e.found || n == 0 {
		return n, err
	}
	across := append(e.tail, p[:min(n, len(e.mark))]...) // the mark may lie across two reads
	e.found = bytes.Contains(across, e.mark) || bytes.Contains(p[:n], e.mark)
	rest := p[:n]
	if n < len(e.mark) {
		rest = across
	}
	e.tail = append([]byte(nil), rest[max(0, len(rest)-len(e.mark)+1):]...)
	return n, err
}
