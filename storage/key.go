package storage

import (
	"io/fs"
	"path"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// The folders of a store.
const (
	artifactFolder = "artifact"
	tempFolder     = "tmp"
	spoolFolder    = "spool"
)

const (
	maxKey  = 1024 // bytes, S3's limit
	maxName = 255  // bytes of one path element, the limit of most file systems
)

// ArtifactKey returns the key of the artifact with that sha256, given as 64 lowercase hex characters. Anything else
// gives "", a key that every method refuses with Invalid.
func ArtifactKey(sha256 string) string {
	if len(sha256) != hashlib.SHA256.HexLen() || strings.Trim(sha256, "0123456789abcdef") != "" {
		return ""
	}
	return artifactFolder + "/" + sha256[:2] + "/" + sha256[2:]
}

// TempKey returns the key of a temporary file.
func TempKey(id uuid.UUID) string { return tempFolder + "/" + id.String() }

// keyspace turns the keys of a store or view into those of the backend.
type keyspace struct {
	prefix string // of the store and the view
	fault  error  // why every key is refused, or nil
}

// full returns the key in the backend.
func (k keyspace) full(op, key string) (string, error) {
	if k.fault != nil {
		return "", k.fault
	}
	// Sweep would remove an object in the spool, and List does not show it.
	if first, _, _ := strings.Cut(key, "/"); first == spoolFolder {
		return "", keyError(op, key, "the folder spool is reserved for unfinished writes; choose another one")
	}
	whole := path.Join(k.prefix, key)
	if why := keyFault(key, whole); why != "" {
		return "", keyError(op, key, why)
	}
	return whole, nil
}

// keyFault returns the fault of key, or "".
func keyFault(key, whole string) string {
	switch {
	case key == "" || key == ".":
		return "it is empty"
	case !fs.ValidPath(key):
		return "it is not a relative path, or it has an empty, . or .. part"
	// On Windows a backslash separates folders.
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return "it contains a control character or a backslash"
	case len(whole) > maxKey:
		return "it is longer than 1,024 bytes"
	}
	for name := range strings.SplitSeq(key, "/") {
		if len(name) > maxName {
			return "a part of it is longer than 255 bytes"
		}
	}
	return ""
}

func keyError(op, key, why string) error {
	return pulperr.Field("key", "%s %q: %s", op, key, why)
}

// checkPrefix refuses a prefix that is no path or that begins with one of the store's own folders.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if why := keyFault(prefix, prefix); why != "" {
		return pulperr.Field("prefix", "%q: %s", prefix, why)
	}
	// The objects of a view in artifact, tmp or spool would mix with those of the store itself.
	switch first, _, _ := strings.Cut(prefix, "/"); first {
	case artifactFolder, tempFolder, spoolFolder:
		return pulperr.Field("prefix", "%q: artifact, tmp and spool are the store's own folders; choose another one", prefix)
	}
	return nil
}
