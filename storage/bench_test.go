package storage_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/storagetest"
)

// BenchmarkPut50B stores many small artifacts with 20 writers. "syscalls" does by hand what cannot be left out: write,
// fsync, rename, fsync the folder.
func BenchmarkPut50B(b *testing.B) {
	var n atomic.Int64
	for name, opts := range map[string]*storage.Options{"durable": nil, "relaxed": {Relaxed: true}} {
		b.Run(name, func(b *testing.B) {
			s := open(b, b.TempDir(), opts)
			twenty(b, func() error {
				_, err := s.PutArtifact(b.Context(), bytes.NewReader(fmt.Appendf(nil, "%050d", n.Add(1))), nil)
				return err
			})
		})
	}
	b.Run("known", func(b *testing.B) {
		s := open(b, b.TempDir(), nil)
		twenty(b, func() error {
			p := fmt.Appendf(nil, "%050d", n.Add(1))
			_, err := s.PutArtifact(b.Context(), bytes.NewReader(p), storagetest.Expect(p))
			return err
		})
	})
	b.Run("stored", func(b *testing.B) {
		s := open(b, b.TempDir(), nil)
		p := fmt.Appendf(nil, "%050d", 0)
		expect := storagetest.Expect(p)
		twenty(b, func() error {
			_, err := s.PutArtifact(b.Context(), bytes.NewReader(p), expect)
			return err
		})
	})
	b.Run("S3", func(b *testing.B) {
		if os.Getenv(envS3) == "" {
			b.Skipf("%s is not set", envS3)
		}
		s := open(b, os.Getenv(envS3), &storage.Options{Prefix: "bench-" + uuid.NewString()})
		b.Cleanup(func() { empty(b, s) })
		twenty(b, func() error {
			_, err := s.PutArtifact(b.Context(), bytes.NewReader(fmt.Appendf(nil, "%050d", n.Add(1))), nil)
			return err
		})
	})
	b.Run("syscalls", func(b *testing.B) {
		dir := b.TempDir()
		for i := range 256 {
			if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("%02x", i)), 0o700); err != nil {
				b.Fatal(err)
			}
		}
		twenty(b, func() error { return putByHand(dir, n.Add(1)) })
	})
}

// twenty runs put in 20 goroutines.
func twenty(b *testing.B, put func() error) {
	b.ReportAllocs()
	b.SetParallelism(10) // times GOMAXPROCS, which is 2 on the machine of the table
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := put(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func putByHand(dir string, n int64) error {
	f, err := os.Create(filepath.Join(dir, uuid.NewString()))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%050d", n); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	sub := filepath.Join(dir, fmt.Sprintf("%02x", n%256))
	if err := os.Rename(f.Name(), filepath.Join(sub, filepath.Base(f.Name()))); err != nil {
		return err
	}
	d, err := os.Open(sub)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func BenchmarkPut64MiB(b *testing.B) {
	const size = 64 << 20
	p := storagetest.Bytes(1, size)
	sha256, err := hashlib.Allow("sha256")
	if err != nil {
		b.Fatal(err)
	}
	for name, opts := range map[string]*storage.Options{
		"default checksums": nil,
		"sha256":            {Checksums: sha256},
		"sha256, relaxed":   {Checksums: sha256, Relaxed: true},
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b, b.TempDir(), opts)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				o, err := s.PutArtifact(b.Context(), bytes.NewReader(p), nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Delete(b.Context(), o.Key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	s := open(b, b.TempDir(), &storage.Options{Relaxed: true})
	for _, size := range []int{50, 64 << 10, 64 << 20} {
		o, err := s.PutArtifact(b.Context(), bytes.NewReader(storagetest.Bytes(2, size)), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d B", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			buf := make([]byte, 128<<10)
			for b.Loop() {
				r, err := s.Open(b.Context(), o.Key)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{r}, buf); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
