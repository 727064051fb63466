package hashlib_test

import (
	"crypto/sha256"
	"io"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
)

// BenchmarkMultiHash hashes 16 MiB in pieces of 32 KiB, as io.Copy delivers them.
func BenchmarkMultiHash(b *testing.B) {
	six, four, one := allSix(b), hashlib.Default(), allow(b, "sha256")
	for _, row := range []struct {
		name string
		open func() io.Writer
	}{
		{"sha256 raw", func() io.Writer { return sha256.New() }},
		{"sha256 alone", func() io.Writer { return one.Writer() }},
		{"default four", func() io.Writer { return four.Writer() }},
		{"all six", func() io.Writer { return six.Writer() }},
	} {
		b.Run(row.name, func(b *testing.B) {
			data := noise(16 << 20)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				w := row.open()
				for at := 0; at < len(data); at += 32 << 10 {
					_, _ = w.Write(data[at : at+32<<10])
				}
			}
		})
	}
}

// BenchmarkMultiHashSmall is what an artifact of 4 KiB costs: mostly the allocation of the hashes.
func BenchmarkMultiHashSmall(b *testing.B) {
	data := noise(4 << 10)
	c := hashlib.Default()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		w := c.Writer()
		_, _ = w.Write(data)
		_ = w.Digests()
	}
}
