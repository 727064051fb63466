package rest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// form is how a field looks on the wire.
type form uint8

const (
	textForm form = iota + 1
	boolForm
	intForm
	floatForm
	labelsForm
	timeForm
	refForm    // an href or a PRN, kept as a UUID
	secretForm // write-only text
	listForm   // JSON array
	jsonForm   // any other JSON
)

// What an href can point to, besides the masters.
const (
	artifactKind  = "artifact"
	versionKind   = "repositoryversion"
	taskKind      = "task"
	taskGroupKind = "taskgroup"
	scheduleKind  = "taskschedule"
	workerKind    = "appstatus"
	userKind      = "user"
)

// field is one field of a type as requests give it and answers show it. Requests are parsed, answers rendered and the
// API document written from it.
type field struct {
	name     string // on the wire
	column   string
	doc      string
	form     form
	goType   reflect.Type
	index    []int
	ref      string // what a refForm points to
	own      bool   // the plugin's, not the master's
	nullable bool
	required bool
	readOnly bool
	unique   bool // within the domain
	maxLen   int
	length   int
	min      *float64
	choices  []string
	def      any // given to a field that a request leaves out; nil is none
}

// fieldsOf describes the fields of a registered type that are on the wire, and returns all that is wrong with them. The
// words of the tag are described at the package.
func fieldsOf(r *models.Registry, t models.AnyType) (list []*field, faults []error) {
	goType := reflect.TypeOf(t.New()).Elem()
	for _, mf := range r.Fields(t) {
		if mf.JSON == "-" {
			continue
		}
		f := &field{
			name: mf.JSON, column: mf.Column, doc: mf.Doc, goType: mf.Go, index: mf.Index, own: mf.Own, length: mf.Len,
			required: mf.Natural,
		}
		f.setForm()
		f.inherit()
		sf := goType.FieldByIndex(mf.Index)
		for _, err := range f.complete(sf.Tag.Get("rest")) {
			faults = append(faults, fmt.Errorf("field %s: %w", sf.Name, err))
		}
		list = append(list, f)
	}
	return list, faults
}

// complete reads the rest tag and returns all that is wrong with the field.
func (f *field) complete(tag string) (faults []error) {
	for word := range strings.SplitSeq(tag, ",") {
		if err := f.readWord(word); err != nil {
			faults = append(faults, fmt.Errorf("rest tag: %w", err))
		}
	}
	if f.form == refForm && f.ref == "" {
		faults = append(faults, fmt.Errorf(`it is a key, and nothing says of what; name that, as in rest:"ref=%s"`,
			models.RepositoryMaster))
	}
	if f.form == 0 {
		faults = append(faults, fmt.Errorf(`%s has no form on the wire; hide it with json:"-"`, f.goType))
	}
	return faults
}

// columnsOf describes all columns of a registered type that a new row is made of, whether on the wire or not.
func columnsOf(r *models.Registry, t models.AnyType) []*field {
	var list []*field
	for _, mf := range r.Fields(t) {
		switch mf.Column {
		case "pulp_id", "pulp_created", "pulp_last_updated", "pulp_domain_id", "pulp_type", "next_version",
			"timestamp_of_interest":
			continue
		}
		f := &field{name: mf.JSON, column: mf.Column, goType: mf.Go, index: mf.Index, own: mf.Own}
		f.setForm()
		list = append(list, f)
	}
	return list
}

// masterFields describes the fields that all types of a master share, for lists of all of them.
func masterFields(m models.Master) []*field {
	var list []*field
	var walk func(t reflect.Type, at []int)
	walk = func(t reflect.Type, at []int) {
		for i := range t.NumField() {
			sf := t.Field(i)
			index := append(slices.Clone(at), i)
			if sf.Anonymous {
				walk(sf.Type, index)
				continue
			}
			name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			column, _, _ := strings.Cut(sf.Tag.Get("bun"), ",")
			f := &field{name: name, column: column, doc: sf.Tag.Get("doc"), goType: sf.Type, index: index}
			f.setForm()
			f.inherit()
			list = append(list, f)
		}
	}
	walk(masterType(m), nil)
	return list
}

func masterType(m models.Master) reflect.Type {
	switch m {
	case models.ContentMaster:
		return reflect.TypeFor[models.Content]()
	case models.RepositoryMaster:
		return reflect.TypeFor[models.Repository]()
	case models.RemoteMaster:
		return reflect.TypeFor[models.Remote]()
	case models.PublicationMaster:
		return reflect.TypeFor[models.Publication]()
	case models.DistributionMaster:
		return reflect.TypeFor[models.Distribution]()
	default:
		return reflect.TypeFor[models.ContentGuard]()
	}
}

func (f *field) setForm() {
	t := f.goType
	if t.Kind() == reflect.Pointer {
		f.nullable = true
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[secrets.EncryptedText]():
		f.form, f.nullable = secretForm, true
		return
	case reflect.TypeFor[models.Labels]():
		f.form = labelsForm
		return
	case reflect.TypeFor[time.Time]():
		f.form = timeForm
		return
	case reflect.TypeFor[uuid.UUID]():
		f.form = refForm
		return
	case reflect.TypeFor[json.RawMessage]():
		f.form, f.nullable = jsonForm, true
		return
	}
	switch t.Kind() {
	case reflect.String:
		f.form = textForm
	case reflect.Bool:
		f.form = boolForm
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.form = intForm
	case reflect.Float32, reflect.Float64:
		f.form = floatForm
	case reflect.Slice:
		f.form = listForm
	case reflect.Map, reflect.Struct, reflect.Interface:
		f.form = jsonForm
	}
}

// inherit adds what is known about the masters' columns.
func (f *field) inherit() {
	if f.own {
		return
	}
	switch f.column {
	case "name":
		f.required, f.unique, f.maxLen = true, true, 255
	case "base_path":
		f.required, f.unique = true, true
	case "url":
		f.required = true
	case "policy":
		f.choices = []string{string(models.Immediate), string(models.OnDemand), string(models.Streamed)}
		f.def = models.Immediate
	case "tls_validation":
		f.nullable, f.def = false, new(true)
	case "headers":
		f.nullable = true
	case "total_timeout", "connect_timeout", "sock_connect_timeout", "sock_read_timeout":
		f.min = new(0.0)
	case "download_concurrency", "retain_repo_versions", "retain_checkpoints":
		f.min = new(1.0)
	case "hidden", "checkpoint":
		f.def = false
	}
	if f.form == refForm {
		f.ref = map[string]string{
			"remote_id": string(models.RemoteMaster), "repository_id": string(models.RepositoryMaster),
			"publication_id": string(models.PublicationMaster), "content_guard_id": string(models.ContentGuardMaster),
			"repository_version_id": versionKind,
		}[f.column]
	}
}

// readWord reads one word of a rest tag, see the package's documentation.
func (f *field) readWord(word string) error {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "":
	case "required":
		f.required = true
	case "readonly":
		f.readOnly, f.required = true, false
	case "max":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("max=%q is not a positive number; write it as in max=255", value)
		}
		f.maxLen = n
	case "min":
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("min=%q is not a number; write it as in min=1", value)
		}
		f.min = &n
	case "choices":
		f.choices = strings.Split(value, "|")
	case "ref":
		if !slices.Contains(kinds(), value) {
			return fmt.Errorf("ref=%q is not what a key can refer to; use one of %s", value, strings.Join(kinds(), ", "))
		}
		f.ref = value
	case "default":
		v, reasons := f.parse(value)
		if reasons != nil {
			return fmt.Errorf("default=%q is not a value of the field: %s; change it", value, strings.Join(reasons, " "))
		}
		f.def = v
	default:
		return fmt.Errorf("unknown word %q; there are required, readonly, default=, min=, max=, choices=A|B and ref=", word)
	}
	return nil
}

// value returns the field of a row.
func (f *field) value(row any) reflect.Value {
	return reflect.ValueOf(row).Elem().FieldByIndex(f.index)
}

// equal reports whether two rows have the same value.
func (f *field) equal(a, b any) bool {
	x, y := f.value(a), f.value(b)
	if f.form == secretForm {
		s, t := x.Interface().(secrets.EncryptedText), y.Interface().(secrets.EncryptedText)
		return s.IsSet() == t.IsSet() && s.Reveal() == t.Reveal()
	}
	if (x.Kind() == reflect.Map || x.Kind() == reflect.Slice) && x.Len() == 0 && y.Len() == 0 && !f.nullable {
		return true
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

// assign puts a parsed value, or nil for null, into a row.
func (f *field) assign(row, value any) {
	dst := f.value(row)
	if value == nil {
		dst.SetZero()
		return
	}
	v := reflect.ValueOf(value)
	switch {
	case dst.Kind() != reflect.Pointer:
		dst.Set(v.Convert(dst.Type()))
	case v.Kind() == reflect.Pointer:
		p := reflect.New(dst.Type().Elem())
		p.Elem().Set(v.Elem().Convert(p.Elem().Type()))
		dst.Set(p)
	default:
		p := reflect.New(dst.Type().Elem())
		p.Elem().Set(v.Convert(p.Elem().Type()))
		dst.Set(p)
	}
}

// pack returns the field of a row for the arguments of a task. They are encrypted, so secrets go in the clear.
func (f *field) pack(row any) (json.RawMessage, error) {
	v := f.value(row).Interface()
	if s, ok := v.(secrets.EncryptedText); ok {
		if !s.IsSet() {
			return json.RawMessage("null"), nil
		}
		return json.Marshal(s.Reveal())
	}
	return json.Marshal(v)
}

// unpack is the reverse of pack.
func (f *field) unpack(row any, raw json.RawMessage) error {
	dst := f.value(row)
	if f.form != secretForm {
		dst.SetZero()
		return json.Unmarshal(raw, dst.Addr().Interface())
	}
	var plain *string
	if err := json.Unmarshal(raw, &plain); err != nil {
		return err
	}
	var s secrets.EncryptedText
	if plain != nil {
		s = secrets.NewEncryptedText(*plain)
	}
	dst.Set(reflect.ValueOf(s))
	return nil
}
