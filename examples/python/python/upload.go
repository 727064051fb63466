package python

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/textproto"
	"path"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// upload is the route that twine sends packages to. Its form has more fields, which only repeat what is in the file.
func upload(ctx context.Context, r *rest.Request[rest.Empty]) (*rest.Accepted, error) {
	repo, err := Repositories.One(ctx, r.DB, models.Eq("name", r.HTTP.PathValue("repository")))
	if err != nil {
		return nil, err
	}
	return rest.SaveUpload(ctx, r, "content", &Package{}, repo)
}

// InitializeFromFile reads the fields of a package from the file that a client gave. It implements
// [rest.FileInitializer].
func (p *Package) InitializeFromFile(ctx context.Context, f *rest.File) error {
	if !config.In(f.DB).AllowUploads {
		return pulperr.Public(pulperr.Forbidden, "this index takes no uploads; PYTHON_ALLOW_UPLOADS is false")
	}
	project, version, err := ParseFilename(f.RelativePath)
	if err != nil {
		return err
	}
	file, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer file.Close()
	fields, err := ReadMetadata(f.RelativePath, file, file.Size())
	if err != nil {
		return err
	}
	p.Filename, p.Name, p.Version = f.RelativePath, Normalize(fields.Get("Name")), fields.Get("Version")
	if p.Name != project || !strings.EqualFold(strings.ReplaceAll(p.Version, "_", "-"), version) {
		return pulperr.Field("filename", "%q is the file of %q in version %q", p.Filename, p.Name, p.Version)
	}
	p.RequiresPython, p.Size, p.Hashes = fields.Get("Requires-Python"), f.Artifact.Size, f.Artifact.Digests
	return nil
}

// What is read of an archive until its metadata has been found, in bytes.
const (
	maxMetadata  = 1 << 20   // of the metadata itself
	maxDirectory = 16 << 20  // of a wheel, all in all
	maxUnpacked  = 256 << 20 // of an sdist, unpacked
)

// ReadMetadata returns the fields in the METADATA of a wheel or in the PKG-INFO of an sdist. The size is that of the
// archive in bytes.
//
// Errors: Invalid for an archive that is damaged, has no metadata, or has too much in front of it; those of the
// archive's reader that have a kind.
func ReadMetadata(filename string, archive io.ReaderAt, size int64) (textproto.MIMEHeader, error) {
	open := openSdist
	if strings.HasSuffix(filename, ".whl") {
		open = openWheel
	}
	metadata, err := open(archive, size)
	if err == nil {
		var fields textproto.MIMEHeader
		limited := bufio.NewReader(io.LimitReader(metadata, maxMetadata))
		// Metadata without a description ends with its fields, without an empty line.
		if fields, err = textproto.NewReader(limited).ReadMIMEHeader(); err == nil || errors.Is(err, io.EOF) {
			return fields, nil
		}
	}
	if _, ours := errors.AsType[pulperr.Kind](err); ours {
		return nil, err
	}
	return nil, pulperr.Field("file", "%q is damaged, or has no metadata, or too much in front of it", filename)
}

func openWheel(archive io.ReaderAt, size int64) (io.Reader, error) {
	files, err := zip.NewReader(&budget{archive, maxDirectory}, size)
	if err != nil {
		return nil, err
	}
	for _, f := range files.File {
		if ok, _ := path.Match("*.dist-info/METADATA", f.Name); ok {
			return f.Open()
		}
	}
	return nil, io.EOF
}

func openSdist(archive io.ReaderAt, size int64) (io.Reader, error) {
	unpacked, err := gzip.NewReader(io.NewSectionReader(archive, 0, size))
	if err != nil {
		return nil, err
	}
	files := tar.NewReader(io.LimitReader(unpacked, maxUnpacked))
	for {
		f, err := files.Next()
		if err != nil {
			return nil, err
		}
		if ok, _ := path.Match("*/PKG-INFO", f.Name); ok {
			return files, nil
		}
	}
}

// budget reads so many bytes and no more: the directory of a hostile zip archive can be as large as the archive.
type budget struct {
	io.ReaderAt
	left int
}

// ReadAt implements [io.ReaderAt].
func (b *budget) ReadAt(p []byte, offset int64) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortBuffer
	}
	return b.ReaderAt.ReadAt(p, offset)
}
