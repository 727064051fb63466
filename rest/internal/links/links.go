package links

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Links writes and reads the links of one API. After the last call of Add it is safe for concurrent use.
type Links struct {
	Base   string // "/pulp/api/v3/"
	kinds  map[string]*Kind
	byPath map[string]*Type // "repositories/file/file/"
	byPRN  map[string]*Type // "file.filerepository"
	byType map[models.Master]map[string]*Type
}

// Type is a type of a master that is served.
type Type struct {
	models.AnyType
	Kind *Kind
	Path string // below the base: "repositories/file/file/"
	base string // path with the base; set by Add
	prn  string // of rows, up to the key; set by Add
}

// New returns links below a base that serve no types yet.
func New(base string) *Links {
	l := &Links{
		Base: base, kinds: map[string]*Kind{}, byPath: map[string]*Type{}, byPRN: map[string]*Type{},
		byType: map[models.Master]map[string]*Type{},
	}
	for _, k := range kinds() {
		l.kinds[k.Name] = &k
		if k.Master != "" {
			l.byType[k.Master] = map[string]*Type{}
		}
	}
	return l
}

// Kind returns the kind of a name, or nil.
func (l *Links) Kind(name string) *Kind { return l.kinds[name] }

// Masters returns the masters in the order of the document.
func (l *Links) Masters() []*Kind {
	var list []*Kind
	for _, k := range masters() {
		list = append(list, l.kinds[k.Name])
	}
	return list
}

// Add serves a type at a path. It returns false if the type or the path is served already.
func (l *Links) Add(t *Type) bool {
	plugin, _, _ := strings.Cut(t.Name(), ".")
	prn := plugin + "." + models.PRNModel(t.AnyType)
	if l.byPath[t.Path] != nil || l.byPRN[prn] != nil {
		return false
	}
	l.byPath[t.Path], l.byPRN[prn], l.byType[t.Master()][t.Name()] = t, t, t
	t.base, t.prn = l.Base+t.Path, "prn:"+prn+":"
	return true
}

// PRN returns the PRN of a row of the type.
func (t *Type) PRN(id uuid.UUID) string {
	text := sqldialect.Key(id).Text() // lists make several links for each row
	return t.prn + string(text[:])
}

// Type returns a type that is served, or nil.
func (l *Links) Type(m models.Master, name string) *Type { return l.byType[m][name] }

// TypeNames returns the names of the types of a master that are served, in alphabetical order.
func (l *Links) TypeNames(m models.Master) []string { return slices.Sorted(maps.Keys(l.byType[m])) }

// Href returns the href of a row of the core.
func (l *Links) Href(kind string, id uuid.UUID) string {
	return l.Base + l.kinds[kind].Path + id.String() + "/"
}

// HrefOrNull returns the href of a row of the core that may be missing.
func (l *Links) HrefOrNull(kind string, id *uuid.UUID) *string {
	if id == nil {
		return nil
	}
	return new(l.Href(kind, *id))
}

// RowHref returns the href of a row of a type.
func (l *Links) RowHref(t *Type, id uuid.UUID) string {
	text := sqldialect.Key(id).Text()
	return t.base + string(text[:]) + "/"
}

// VersionsHref returns the href of the versions of a repository.
func (l *Links) VersionsHref(t *Type, repository uuid.UUID) string {
	text := sqldialect.Key(repository).Text()
	return t.base + string(text[:]) + "/versions/"
}

// VersionHref returns the href of a version of a repository.
func (l *Links) VersionHref(t *Type, repository uuid.UUID, number int) string {
	text := sqldialect.Key(repository).Text()
	return t.base + string(text[:]) + "/versions/" + strconv.Itoa(number) + "/"
}

// Target is what a link names. The row need not exist.
type Target struct {
	Kind   string
	Type   *Type // of a row with a master, or of a version's repository; nil for a version named by PRN
	ID     uuid.UUID
	number int            // of a version named by href, whose ID is the repository's; else -1
	bare   models.AnyType // of a row that only a PRN can name, for its type is not served
}

// OfVersion returns the target of a version that an href names.
func OfVersion(t *Type, repository uuid.UUID, number int) Target {
	return Target{Kind: Version, Type: t, ID: repository, number: number}
}

// Parse reads an href or a PRN, or returns false if it is neither, or names a type that is not served.
func (l *Links) Parse(text string) (Target, bool) {
	if strings.HasPrefix(text, "prn:") {
		return l.parsePRN(text)
	}
	return l.parseHref(text)
}

func (l *Links) parsePRN(text string) (Target, bool) {
	prn, err := models.ParsePRN(text)
	if err != nil {
		return Target{}, false
	}
	t := Target{ID: prn.ID, number: -1}
	// Types of the core with a master are found below, as those of plugins are.
	if k := l.kinds[prn.Model]; prn.Plugin == "core" && k != nil && k.Master == "" {
		t.Kind = k.Name
		return t, true
	}
	if t.Type = l.byPRN[prn.Plugin+"."+prn.Model]; t.Type == nil {
		return Target{}, false
	}
	t.Kind = t.Type.Kind.Name
	return t, true
}

// parseBarePRN reads the PRN of a row whose type is not served. Answers have it in place of an href.
func parseBarePRN(r *models.Registry, text string) (Target, bool) {
	prn, err := models.ParsePRN(text)
	if err != nil {
		return Target{}, false
	}
	for t := range r.Types() {
		if models.TypedPRN(t.Master(), t.Name(), prn.ID) == text {
			return Target{Kind: string(t.Master()), bare: t, ID: prn.ID, number: -1}, true
		}
	}
	return Target{}, false
}

func (l *Links) parseHref(text string) (Target, bool) {
	// Clients send back hrefs as the base_url or their own settings made them, with any host.
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		u, err := url.Parse(text)
		if err != nil {
			return Target{}, false
		}
		text = u.Path
	}
	text, ok := strings.CutPrefix(text, l.Base)
	if !ok || !strings.HasSuffix(text, "/") {
		return Target{}, false
	}
	parts := strings.Split(strings.TrimSuffix(text, "/"), "/")
	switch len(parts) {
	case 2: // artifacts/ID
		for _, k := range l.kinds {
			if k.Master == "" && k.Path == parts[0]+"/" {
				id, ok := ParseID(parts[1])
				return Target{Kind: k.Name, ID: id, number: -1}, ok
			}
		}
	case 4, 6: // repositories/file/file/ID, and then versions/NUMBER
		t := l.byPath[strings.Join(parts[:3], "/")+"/"]
		id, ok := ParseID(parts[3])
		switch {
		case t == nil || !ok:
		case len(parts) == 4:
			return Target{Kind: t.Kind.Name, Type: t, ID: id, number: -1}, true
		case t.Master() == models.RepositoryMaster && parts[4] == "versions":
			number, ok := ParseNumber(parts[5])
			return OfVersion(t, id, number), ok
		}
	}
	return Target{}, false
}

// ParseID reads a UUID in the form that hrefs have.
func ParseID(text string) (uuid.UUID, bool) {
	// uuid.Parse also takes braces, urn:uuid: and 32 digits. A row has one href, so these are refused.
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == 36 && id.String() == strings.ToLower(text)
}

// ParseNumber reads the number of a version in the form that hrefs have.
func ParseNumber(text string) (int, bool) {
	// ParseInt also takes a sign and leading zeros, which would be further hrefs of the same version.
	n, err := strconv.ParseInt(text, 10, 32)
	return int(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}
