package storage_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReaderFile proves that a local part can be handed to sendfile, and that there is no file elsewhere.
func TestReaderFile(t *testing.T) {
	t.Parallel()
	for rawURL, local := range map[string]bool{t.TempDir(): true, "mem://": false} {
		s := open(t, rawURL, nil)
		o, err := s.PutArtifact(t.Context(), strings.NewReader("hello world"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.OpenRange(t.Context(), o.Key, 6, 3)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if (r.File() != nil) != local {
			t.Errorf("File in %q = %v", rawURL, r.File())
		}
		if !local {
			continue
		}
		if got, err := io.ReadAll(io.LimitReader(r.File(), r.Len())); string(got) != "wor" || err != nil {
			t.Errorf("the file holds %q, %v at its position, want %q", got, err, "wor")
		}
	}
}

// TestWriterDigests reads the digests on the way, as a resumed download does.
func TestWriterDigests(t *testing.T) {
	t.Parallel()
	s := open(t, "mem://", nil)
	w, err := s.NewArtifactWriter(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, iotest.OneByteReader(strings.NewReader("hello"))); err != nil {
		t.Fatal(err)
	}
	before := w.Digests()
	o, err := w.Commit()
	if err != nil || o.Digests != before || w.Digests() != before {
		t.Errorf("Digests = %+v, Commit = %+v, %v", before, o, err)
	}
}
