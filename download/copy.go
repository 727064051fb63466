package download

import (
	"errors"
	"io"
	"net/http"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// copy moves a body to the sink, which stands where the body begins.
func (t *transfer) copy(resp *http.Response, body io.Reader) error {
	buf := t.c.buffers.Get().(*[]byte)
	defer t.c.buffers.Put(buf)
	end := t.end()
	for {
		n, err := body.Read(*buf)
		p := (*buf)[:n]
		if err := t.req.checkSize(t.size+int64(n), t.final); err != nil {
			return err
		}
		if t.part >= 0 && t.size+int64(n) > t.part {
			// The source contradicts its own Content-Range, so the bytes of this answer that the sink already has are not
			// trusted either.
			t.spoiled = true
			return t.fault(errRange)
		}
		if n > 0 && end >= 0 && t.size+int64(n) >= end {
			if t.size+int64(n) > end {
				return t.excess(end)
			}
			return t.last(p, body, err)
		}
		if n > 0 {
			if t.hash != nil {
				_, _ = t.hash.Write(p)
			}
			if err := t.write(p); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return t.finish(resp)
		case errors.Is(err, pulperr.TooLarge): // when decoded
			return err
		case err != nil:
			return t.fault(err)
		}
	}
}

// last takes the bytes that complete a file of known size.
func (t *transfer) last(p []byte, body io.Reader, readErr error) error {
	// The file is complete, so the body must end here. A body that goes on belongs to another file.
	if readErr == nil {
		var one [1]byte
		var n int
		if n, readErr = io.ReadFull(body, one[:]); n > 0 {
			return t.excess(t.end())
		}
	}
	// The sink gets the last bytes only after the digest was found right: a client that reads from the sink may count
	// bytes and would take a wrong file for complete.
	if t.hash != nil {
		_, _ = t.hash.Write(p)
		// verify compares t.size, which counts p only after it was written.
		t.size += int64(len(p))
		err := t.verify()
		t.size -= int64(len(p))
		if err != nil {
			return err
		}
	}
	if err := t.write(p); err != nil {
		return err
	}
	// A Hasher computes its digests from the bytes written to it, so its last bytes cannot be withheld until the check.
	if t.hash == nil {
		if err := t.verify(); err != nil {
			return err
		}
	}
	// All expected bytes are here, but the source did not end the body: without a digest more bytes may belong to it.
	if !errors.Is(readErr, io.EOF) && !t.proven() {
		return t.fault(readErr)
	}
	return nil
}

// finish is called at the end of a body of unknown size, and at the early end of any other body.
func (t *transfer) finish(resp *http.Response) error {
	end := t.total
	if end < 0 && untilClose(resp) {
		// The end of the connection does not prove that the body is whole; the expected size does.
		end = t.req.expectedSize()
	}
	if t.size < max(end, t.part) {
		return t.fault(errCut)
	}
	if t.part >= 0 && t.total < 0 {
		// A part of a file of unknown size, read to the end of the part. Only a digest can show that the part was the
		// last one; otherwise the next request asks the source.
		if !t.proven() || t.req.Expect.Check(t.digests(), t.size) != nil {
			return t.fault(errCut)
		}
	}
	return t.verify()
}

// untilClose reports whether only the end of the connection marks the end of the body.
func untilClose(resp *http.Response) bool {
	return resp.ProtoMajor == 1 && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
}

func (t *transfer) write(p []byte) error {
	t.started = true
	n, err := t.sink.Write(p)
	t.size += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		// A fault of the sink, such as a full disk, is no reason to ask the source again, even if it looks like one of the
		// source.
		return &callerError{"write", err}
	}
	return nil
}

// verify compares all bytes with the expectation.
func (t *transfer) verify() error {
	t.got = t.digests()
	err := t.req.Expect.Check(t.got, t.size)
	// Wrong bytes must not be continued: the next attempt starts over.
	t.spoiled = err != nil
	return err
}

func (t *transfer) digests() hashlib.Digests {
	if t.hash != nil {
		return t.hash.Digests()
	}
	return t.sink.(Hasher).Digests()
}

// proven reports whether a digest is expected and can be compared: then the comparison shows whether the bytes are
// right, even if the source reports no error.
func (t *transfer) proven() bool {
	if t.req.Expect == nil {
		return false
	}
	got := t.digests()
	for a := range t.req.Expect.Digests.All() {
		if got.Get(a) != "" {
			return true
		}
	}
	return false
}

// excess is the fault of a body that goes on after the size at which the file is complete.
func (t *transfer) excess(end int64) error {
	t.spoiled = true
	if t.req.expectedSize() >= 0 {
		return &hashlib.SizeMismatchError{Want: end, Got: end + 1}
	}
	return t.fault(errRange)
}
