package gomod

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// maxInfo bounds .info files and lists, in bytes.
const maxInfo = 1 << 20

// kinds returns the extensions of the files of a module version.
func kinds() []string { return []string{"info", "mod", "zip"} }

// info is the body of an .info file.
type info struct {
	Version string
	Time    *time.Time `json:",omitempty"`
}

// parseInfo reads an .info file about a version, or about any version of the module if it is empty.
func parseInfo(path, version string, body []byte) (in info, err error) {
	if err = json.Unmarshal(body, &in); err == nil {
		err = checkVersion(path, in.Version)
	}
	if err != nil || version != "" && in.Version != version || in.Time != nil && !printable(*in.Time) {
		return in, pulperr.Public(pulperr.Invalid, "module %s: the .info of %q is wrong: %.200q", path, version, body)
	}
	if in.Time != nil {
		*in.Time = in.Time.UTC().Truncate(time.Second)
	}
	return in, nil
}

// printable reports whether a time has a form in JSON.
func printable(t time.Time) bool { return t.UTC().Year() > 0 && t.UTC().Year() < 10_000 }

// readInfo is parseInfo for a file.
func readInfo(path, version, file string) (info, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return info{}, err
	}
	return parseInfo(path, version, body)
}

// info returns the .info file: what the protocol defines, and nothing else that an upstream has in it.
func (m *Module) info() []byte {
	body, _ := json.Marshal(info{m.Version, m.Time}) // a text and a time are always JSON
	return body
}

// FetchUnit downloads the files of the module version from a GOPROXY, verifies them, and completes the fields. It
// implements [models.RemoteUnit].
func (m *Module) FetchUnit(ctx context.Context, p *models.Pull) (files []models.PulledFile, err error) {
	limits := []int64{maxInfo, modzip.MaxGoMod, modzip.MaxZipFile}
	for i, kind := range kinds() {
		file := models.PulledFile{RelativePath: m.file(kind), URL: join(p.Remote, m.file(kind))}
		got, err := p.Fetch(ctx, &download.Request{URL: file.URL, MaxSize: limits[i]})
		if err != nil {
			return nil, err
		}
		file.Path = got.Path
		files = append(files, file)
	}
	in, err := readInfo(m.Path, m.Version, files[0].Path)
	if err != nil {
		return nil, err
	}
	// A version whose bytes are known keeps its time, so that its .info stays the same.
	if m.ZipHash == "" {
		m.Time = in.Time
	}
	if err := os.WriteFile(files[0].Path, m.info(), 0o600); err != nil {
		return nil, err
	}
	mod, err := os.ReadFile(files[1].Path)
	if err != nil {
		return nil, err
	}
	if err := m.verify(mod, files[2].Path); err != nil || m.ID == uuid.Nil {
		return files, err
	}
	// A sync has left the files at the remote, and the fields open.
	return files, Modules.Update(ctx, p.DB, m, "time", "mod_hash", "zip_hash")
}

// join returns the URL of a path of the protocol.
func join(remote models.AnyRemote, path string) string {
	return strings.TrimRight(remote.AsRemote().URL, "/") + "/" + path
}

// verify checks a go.mod file and a zip, and sets the hashes. A hash that is known already must stay the same: what was
// once served is never replaced.
func (m *Module) verify(mod []byte, zipFile string) error {
	inner, err := checkZip(m.Path, m.Version, zipFile)
	if err != nil {
		return err
	}
	// Its module path is not compared: the go.mod of a fork may have that of the original.
	if !bytes.Equal(inner, mod) {
		return m.invalid("the .mod file does not fit the zip")
	}
	open := func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(mod)), nil }
	modHash, err := dirhash.Hash1([]string{"go.mod"}, open)
	if err != nil {
		return err
	}
	zipHash, err := dirhash.HashZip(zipFile, dirhash.Hash1)
	if err != nil {
		return m.invalid("the zip cannot be read: %v", err)
	}
	if m.ZipHash != "" && (m.ZipHash != zipHash || m.ModHash != modHash) {
		return m.invalid("the hashes %s and, of go.mod, %s are not the known ones", zipHash, modHash)
	}
	m.ModHash, m.ZipHash = modHash, zipHash
	return nil
}

func (m *Module) invalid(format string, args ...any) error {
	return pulperr.Public(pulperr.Invalid, "module "+m.Path+"@"+m.Version+": "+format, args...)
}

// checkZip checks the form, the paths and the sizes of a module zip, and returns its go.mod. For a module
// without one that is what the go command makes up.
func checkZip(path, version, file string) (mod []byte, err error) {
	m := module.Version{Path: path, Version: version}
	checked, err := modzip.CheckZip(m, file)
	if err = errors.Join(err, checked.Err()); err != nil {
		return nil, pulperr.Public(pulperr.Invalid, "module %s: the zip is not acceptable: %v", m, err)
	}
	r, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := r.Open(m.String() + "/go.mod")
	if err != nil {
		return []byte("module " + modfile.AutoQuote(path) + "\n"), nil // CheckZip has read the list of files
	}
	defer f.Close()
	if mod, err = io.ReadAll(io.LimitReader(f, modzip.MaxGoMod)); err != nil {
		return nil, pulperr.Public(pulperr.Invalid, "module %s: the go.mod in the zip cannot be read: %v", m, err)
	}
	return mod, nil
}
