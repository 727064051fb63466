package hashlib_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
)

func TestWriterAgreesWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	data := noise(3<<20 + 17)
	for _, n := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, len(data)} {
		w := allSix(t).Writer()
		writeInPieces(t, w, data[:n])
		if got, want := w.Digests(), reference(data[:n]); got != want || w.Size() != int64(n) {
			t.Errorf("%d bytes: Digests(), Size() = %+v, %d, want %+v", n, got, w.Size(), want)
		}
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
	w := hashlib.Default().Writer()
	for at := 0; at < len(data); at += 300_000 {
		end := min(at+300_000, len(data))
		if _, err := w.Write(data[at:end]); err != nil {
			t.Fatal(err)
		}
		if got, want := w.Digests(), hashlib.Default().Filter(reference(data[:end])); got != want {
			t.Errorf("after %d bytes: Digests() = %+v, want %+v", end, got, want)
		}
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
