package hashlib_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pulpgo/pulpcore/hashlib"
)

// writers are all ways to hash; each must pass the same tests.
func writers(c *hashlib.Checksums) map[string]func() hashlib.Hasher {
	return map[string]func() hashlib.Hasher{
		"sequential":           func() hashlib.Hasher { return c.Writer() },
		"parallel, 1 worker":   func() hashlib.Hasher { return c.ParallelWriter(1) },
		"parallel, 3 workers":  func() hashlib.Hasher { return c.ParallelWriter(3) },
		"parallel, 99 workers": func() hashlib.Hasher { return c.ParallelWriter(99) },
		"parallel, default":    func() hashlib.Hasher { return c.ParallelWriter(0) },
	}
}

func TestWritersAgreeWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	data := noise(3<<20 + 17)
	for name, open := range writers(allSix(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, len(data)} {
				w := open()
				writeInPieces(t, w, data[:n])
				want := reference(data[:n])
				if got := w.Digests(); got != want || w.Size() != int64(n) {
					t.Errorf("%d bytes: Digests(), Size() = %+v, %d, want %+v", n, got, w.Size(), want)
				}
				if err := w.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
				if err := w.Close(); err != nil || w.Digests() != want {
					t.Errorf("%d bytes: after a second Close() = %v: Digests() = %+v", n, err, w.Digests())
				}
			}
		})
	}
}

// writeInPieces writes b in pieces of odd sizes, and spoils each piece afterwards.
func writeInPieces(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(len(b))))
	for len(b) > 0 {
		piece := bytes.Clone(b[:min(1+r.IntN(300<<10), len(b))])
		b = b[len(piece):]
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("Write() = %d, %v", n, err)
		}
		clear(piece)
	}
}

func TestWritingMayGoOnAfterDigests(t *testing.T) {
	t.Parallel()
	data := noise(2 << 20)
	for name, open := range writers(hashlib.Default()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open()
			defer w.Close()
			for at := 0; at < len(data); at += 300_000 {
				piece := data[at:min(at+300_000, len(data))]
				if _, err := w.Write(piece); err != nil {
					t.Fatal(err)
				}
				so := data[:at+len(piece)]
				if got, want := w.Digests(), hashlib.Default().Filter(reference(so)); got != want {
					t.Errorf("after %d bytes: Digests() = %+v, want %+v", len(so), got, want)
				}
			}
		})
	}
}

func TestWriterReset(t *testing.T) {
	t.Parallel()
	w := hashlib.Default().Writer()
	_, _ = w.Write([]byte("old"))
	w.Reset()
	if w.Size() != 0 || w.Digests() != hashlib.Default().Filter(reference(nil)) {
		t.Errorf("after Reset(): Size() = %d", w.Size())
	}
}

func TestAbortEndsEverything(t *testing.T) {
	t.Parallel() // goleak looks for goroutines when all tests are through
	data := noise(3 << 20)
	for _, n := range []int{0, 10, len(data)} {
		w := hashlib.Default().ParallelWriter(4)
		writeInPieces(t, w, data[:n])
		w.Abort()
		w.Abort()
		if err := w.Close(); err != nil || !w.Digests().IsZero() {
			t.Errorf("after Abort(): Close() = %v, Digests() = %+v", err, w.Digests())
		}
		if _, err := w.Write(data[:1]); err == nil {
			t.Error("Write() after Abort() = nil")
		}
		if _, err := w.ReadFrom(bytes.NewReader(data)); err == nil {
			t.Error("ReadFrom() after Abort() = nil")
		}
	}
}

func TestAbortAfterCloseKeepsTheDigests(t *testing.T) {
	t.Parallel()
	w := hashlib.Default().ParallelWriter(2)
	_, _ = w.Write([]byte("abc"))
	_ = w.Close()
	w.Abort()
	if want := hashlib.Default().Filter(reference([]byte("abc"))); w.Digests() != want {
		t.Errorf("Digests() = %+v, want %+v", w.Digests(), want)
	}
}

func TestReadFrom(t *testing.T) {
	t.Parallel()
	data := noise(1<<20 + 3)
	want := hashlib.Default().Filter(reference(data))
	broken := errors.New("broken")
	for name, row := range map[string]struct {
		r   io.Reader
		err error
	}{
		"whole":            {bytes.NewReader(data), nil},
		"in halves":        {iotest.HalfReader(bytes.NewReader(data)), nil},
		"data with EOF":    {iotest.DataErrReader(bytes.NewReader(data)), nil},
		"a failing reader": {io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), broken},
		"no progress":      {io.MultiReader(bytes.NewReader(data), idle{}), io.ErrNoProgress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := hashlib.Default().ParallelWriter(2)
			defer w.Close()
			n, err := io.Copy(w, struct{ io.Reader }{row.r})
			if n != int64(len(data)) || !errors.Is(err, row.err) {
				t.Errorf("Copy() = %d, %v, want %d, %v", n, err, len(data), row.err)
			}
			if w.Digests() != want {
				t.Errorf("Digests() = %+v, want %+v", w.Digests(), want)
			}
		})
	}
}

// idle is a reader that never does anything.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// liar is a reader that claims more than it was given room for.
type liar struct{}

func (liar) Read(p []byte) (int, error) { return len(p) + 1, nil }

func TestReadFromALiar(t *testing.T) {
	t.Parallel()
	w := hashlib.Default().ParallelWriter(2)
	defer w.Abort()
	if _, err := w.ReadFrom(liar{}); err == nil {
		t.Error("ReadFrom() = nil")
	}
}

// TestSum is not parallel: it sets the number of cores, so that both ways of hashing are taken.
func TestSum(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	data := noise(9 << 20)
	for _, n := range []int{0, 5, len(data)} {
		for _, hint := range []int64{-1, 0, int64(n), 1 << 40} {
			d, size, err := hashlib.Default().Sum(bytes.NewReader(data[:n]), hint)
			if want := hashlib.Default().Filter(reference(data[:n])); d != want || size != int64(n) || err != nil {
				t.Errorf("Sum(%d bytes, %d) = %+v, %d, %v", n, hint, d, size, err)
			}
		}
	}
}

func TestSumOfAFailingReader(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	broken := errors.New("broken")
	for _, hint := range []int64{0, 1 << 40} {
		r := io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken))
		if d, n, err := hashlib.Default().Sum(r, hint); !d.IsZero() || n != 3 || !errors.Is(err, broken) {
			t.Errorf("Sum(hint %d) = %+v, %d, %v", hint, d, n, err)
		}
	}
}

func TestWriterForChoosesBySizeAndCores(t *testing.T) {
	for _, row := range []struct {
		cores    int
		size     int64
		sums     *hashlib.Checksums
		parallel bool
	}{
		{4, 8 << 20, hashlib.Default(), true},
		{4, 8<<20 - 1, hashlib.Default(), false},
		{4, -1, hashlib.Default(), false},
		{3, 1 << 40, hashlib.Default(), false},
		{4, 1 << 40, allow(t, "sha256"), false},
	} {
		t.Run(fmt.Sprintf("%d cores, %d bytes", row.cores, row.size), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(row.cores))
			w := row.sums.WriterFor(row.size)
			defer w.Close()
			if _, parallel := w.(*hashlib.ParallelWriter); parallel != row.parallel {
				t.Errorf("WriterFor() = %T", w)
			}
		})
	}
}
