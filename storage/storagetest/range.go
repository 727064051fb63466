package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

func testRange(t *testing.T, open Opener) {
	s := open(t, nil)
	const size = 10_000
	b := Bytes(7, size)
	key := put(t, s, b).Key
	empty := put(t, s, nil).Key
	for _, r := range []struct{ offset, length int64 }{
		{0, -1},
		{0, 0},
		{0, 1},
		{0, size},
		{0, size + 1},
		{1, -1},
		{5000, 100},
		{5000, 0},
		{size - 1, 1},
		{size - 1, -1},
		{size - 1, 50},
		{size, -1},
		{size, 0},
		{size, 10},
	} {
		t.Run(fmt.Sprintf("%d bytes from %d", r.length, r.offset), func(t *testing.T) {
			end := int64(size)
			if r.length >= 0 {
				end = min(size, r.offset+r.length)
			}
			wantRange(t, s, key, r.offset, r.length, size, b[r.offset:end])
		})
	}
	for _, length := range []int64{-1, 0, 1} {
		wantRange(t, s, empty, 0, length, 0, nil)
	}
	for _, offset := range []int64{-1, size + 1} {
		_, err := s.OpenRange(t.Context(), key, offset, 1)
		wantKind(t, fmt.Sprintf("OpenRange from %d", offset), err, pulperr.Invalid)
	}
	t.Run("seek", func(t *testing.T) { wantSeek(t, s, key, b) })
	t.Run("http.ServeContent", func(t *testing.T) { wantServed(t, s, key, b) })
}

func wantRange(t *testing.T, s *storage.Store, key string, offset, length, size int64, want []byte) {
	t.Helper()
	for name, read := range map[string]func(io.Reader) ([]byte, error){
		"Read":    func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.HalfReader(r)) },
		"WriteTo": copyAll,
	} {
		r, err := s.OpenRange(t.Context(), key, offset, length)
		if err != nil {
			t.Errorf("OpenRange(%d, %d) = %v", offset, length, err)
			return
		}
		got, err := read(r)
		if err := errors.Join(err, r.Close(), r.Close()); err != nil {
			t.Errorf("%s = %v", name, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s of (%d, %d) gave %d bytes, want %d or others", name, offset, length, len(got), len(want))
		}
		if r.Size() != size || r.Len() != int64(len(want)) {
			t.Errorf("Size, Len = %d, %d, want %d, %d", r.Size(), r.Len(), size, len(want))
		}
	}
}

func copyAll(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	_, err := r.(io.WriterTo).WriteTo(&b)
	return b.Bytes(), err
}

func wantSeek(t *testing.T, s *storage.Store, key string, b []byte) {
	r, err := s.OpenRange(t.Context(), key, 100, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := iotest.TestReader(r, b[100:1100]); err != nil {
		t.Error(err)
	}
	for _, to := range []int64{500, 0, 1000} {
		if pos, err := r.Seek(to, io.SeekStart); pos != to || err != nil {
			t.Errorf("Seek(%d) = %d, %v", to, pos, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b[100+to:1100]) {
			t.Errorf("after Seek(%d): %d bytes, %v", to, len(got), err)
		}
	}
	if _, err := r.Seek(10, io.SeekStart); err != nil {
		t.Error(err)
	}
	if got, err := copyAll(r); err != nil || !bytes.Equal(got, b[110:1100]) {
		t.Errorf("WriteTo after Seek: %d bytes, %v", len(got), err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // io.Reader's contract
		t.Errorf("Read after WriteTo = %d, %v, want EOF", n, err)
	}
	for _, to := range []int64{-1, 1001} {
		if _, err := r.Seek(to, io.SeekStart); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("Seek(%d) = %v, want Invalid", to, err)
		}
	}
}

func wantServed(t *testing.T, s *storage.Store, key string, b []byte) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r, err := s.Open(req.Context(), key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer r.Close()
		http.ServeContent(w, req, "", r.ModTime(), r)
	}))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=10-19,-5")
	wantResponse(t, req, http.StatusPartialContent, nil)
	req.Header.Set("Range", "bytes=10-19")
	wantResponse(t, req, http.StatusPartialContent, b[10:20])
	req.Header.Del("Range")
	wantResponse(t, req, http.StatusOK, b)
}

// wantResponse checks the answer; a nil body is not compared.
func wantResponse(t *testing.T, req *http.Request, status int, want []byte) http.Header {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s: %v", req.Method, err)
		return nil
	}
	got, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Errorf("body: %v", err)
	}
	if resp.StatusCode != status || want != nil && !bytes.Equal(got, want) {
		t.Errorf("%s = %d with %d bytes, want %d with %d", req.Method, resp.StatusCode, len(got), status, len(want))
	}
	return resp.Header
}
