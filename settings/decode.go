package settings

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder moves a tree into typed structs and collects every fault on the way.
type decoder struct {
	source func(path []string) string // names the layer that a value came from
	faults []error
}

func (d *decoder) fault(path []string, format string, args ...any) {
	d.faults = append(d.faults, &Fault{
		Key: strings.Join(path, separator), Layer: d.source(path), Reason: fmt.Sprintf(format, args...),
	})
}

// fields decodes m into the struct dst. Fields whose keys m lacks keep their value. strict reports unknown keys.
func (d *decoder) fields(m map[string]any, dst reflect.Value, s schema, path []string, strict bool) {
	known := slices.Clone(s.ignored)
	for _, f := range s.fields {
		known = append(known, f.key)
		if v, ok := m[f.key]; ok {
			d.into(v, dst.Field(f.index), f.unit, append(slices.Clone(path), f.key))
		}
	}
	// Sections share the top level: a key that this one does not know may be of another, see Set.unknown.
	if !strict {
		return
	}
	for _, k := range sortedKeys(m) {
		if !slices.Contains(known, k) {
			d.fault(append(slices.Clone(path), k), "is not a known setting%s", didYouMean(k, known))
		}
	}
}

// into decodes v into dst, or reports a fault and leaves dst alone. A nil v is the zero value.
func (d *decoder) into(v any, dst reflect.Value, unit int64, path []string) {
	// @none in the environment and null in a file clear the value of lower layers.
	if v == nil {
		dst.SetZero()
		return
	}
	if done := d.intoNamed(v, dst, unit, path); done {
		return
	}
	switch dst.Kind() {
	case reflect.Pointer:
		p := reflect.New(dst.Type().Elem())
		d.into(v, p.Elem(), unit, path)
		dst.Set(p)
	case reflect.Interface:
		if dst.NumMethod() != 0 {
			d.fault(path, "is of type %s, which cannot hold a setting", dst.Type())
			return
		}
		dst.Set(reflect.ValueOf(untag(v)))
	case reflect.Struct:
		d.intoStruct(v, dst, path)
	case reflect.Map:
		d.intoMap(v, dst, unit, path)
	case reflect.Slice:
		d.intoSlice(v, dst, unit, path)
	default:
		d.intoScalar(v, dst, unit, path)
	}
}

// intoNamed handles the types that decide for themselves what they accept.
func (d *decoder) intoNamed(v any, dst reflect.Value, unit int64, path []string) bool {
	switch dst.Type() {
	case secretType, urlType:
		s, ok := asText(v)
		if !ok {
			d.fault(path, "is not a text")
			return true
		}
		if dst.Type() == secretType {
			dst.Set(reflect.ValueOf(NewSecret(s)))
		} else {
			dst.Set(reflect.ValueOf(NewURL(s)))
		}
		return true
	case durationType:
		t, err := asDuration(v, time.Duration(unit))
		if err != nil {
			d.fault(path, "%v", err)
			return true
		}
		dst.SetInt(int64(t))
		return true
	}
	u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler)
	s, isText := asText(v)
	if !ok || !isText {
		return false
	}
	// The error of UnmarshalText is left out: it may quote the value, which may be a secret.
	if err := u.UnmarshalText([]byte(s)); err != nil {
		d.fault(path, "is not a %s", strings.ToLower(dst.Type().Name()))
	}
	return true
}

func (d *decoder) intoStruct(v any, dst reflect.Value, path []string) {
	m, ok := v.(map[string]any)
	if !ok {
		d.fault(path, "is not a map")
		return
	}
	s, faults := schemaOf(dst.Type(), "")
	if faults != nil {
		d.fault(path, "cannot be read: %v", errors.Join(faults...))
		return
	}
	d.fields(m, dst, s, path, true)
}

func (d *decoder) intoMap(v any, dst reflect.Value, unit int64, path []string) {
	m, ok := v.(map[string]any)
	if !ok || dst.Type().Key().Kind() != reflect.String {
		d.fault(path, "is not a map")
		return
	}
	out := reflect.MakeMapWithSize(dst.Type(), len(m))
	for _, k := range sortedKeys(m) {
		e := reflect.New(dst.Type().Elem()).Elem()
		d.into(m[k], e, unit, append(slices.Clone(path), k))
		out.SetMapIndex(reflect.ValueOf(k).Convert(dst.Type().Key()), e)
	}
	dst.Set(out)
}

func (d *decoder) intoSlice(v any, dst reflect.Value, unit int64, path []string) {
	l, ok := v.([]any)
	if !ok {
		d.fault(path, "is not a list")
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(l), len(l))
	for i, e := range l {
		d.into(e, out.Index(i), unit, append(slices.Clone(path), strconv.Itoa(i)))
	}
	dst.Set(out)
}

func (d *decoder) intoScalar(v any, dst reflect.Value, unit int64, path []string) {
	switch kind := dst.Kind(); {
	case kind == reflect.String:
		s, ok := asText(v)
		if !ok {
			d.fault(path, "is not a text")
			return
		}
		dst.SetString(s)
	case kind == reflect.Bool:
		b, err := toBool(v)
		if err != nil {
			d.fault(path, "%v", err)
			return
		}
		dst.SetBool(b)
	case dst.CanInt():
		n, ok := asInt(v)
		// The product is checked: a number of MiB may fit into the field while the bytes do not.
		if hi, scaled := mul(n, max(unit, 1)); !ok || !scaled || dst.OverflowInt(hi) {
			d.fault(path, "is not a whole number, or is too large")
		} else {
			dst.SetInt(hi)
		}
	case dst.CanUint():
		n, ok := asInt(v)
		if hi, scaled := mul(n, max(unit, 1)); !ok || !scaled || n < 0 || dst.OverflowUint(uint64(hi)) {
			d.fault(path, "is not a whole number of 0 or more, or is too large")
		} else {
			dst.SetUint(uint64(hi))
		}
	case dst.CanFloat():
		f, ok := asFloat(v)
		if !ok || dst.OverflowFloat(f) {
			d.fault(path, "is not a number")
			return
		}
		dst.SetFloat(f)
	default:
		d.fault(path, "is of type %s, which cannot hold a setting", dst.Type())
	}
}

// asText accepts texts and whole numbers.
func asText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case untyped:
		return string(x), true
	// YAML and TOML read a password of digits without quotes as a number.
	case int64:
		return strconv.FormatInt(x, 10), true
	case Secret:
		return x.Reveal(), true
	case URL:
		return x.Reveal(), true
	}
	return "", false
}

func asInt(v any) (int64, bool) {
	switch x := v.(type) {
	case int64:
		return x, true
	case float64:
		// From 2^53 on a float64 skips whole numbers: the value may differ from the number in the file.
		return int64(x), x == math.Trunc(x) && math.Abs(x) < 1<<53
	case string, untyped:
		n, err := strconv.ParseInt(strings.TrimSpace(text(x)), 10, 64)
		return n, err == nil
	}
	return 0, false
}

func asFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		// YAML and TOML can express NaN and infinity; no setting has a meaning for either.
		return x, !math.IsNaN(x) && !math.IsInf(x, 0)
	case string, untyped:
		f, err := strconv.ParseFloat(strings.TrimSpace(text(x)), 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

// asDuration reads "1m30s", or a number of units.
func asDuration(v any, unit time.Duration) (time.Duration, error) {
	// Defaults and options of the host are durations already; the unit is for bare numbers only.
	if t, ok := v.(time.Duration); ok {
		return t, nil
	}
	// Elements of lists and maps have no tag that could give a unit. Seconds are the unit of most settings of Pulp.
	if unit == 0 {
		unit = time.Second
	}
	if f, ok := asFloat(v); ok {
		// Go does not define the conversion of a larger float64 to an integer.
		if t := f * float64(unit); math.Abs(t) < math.MaxInt64 {
			return time.Duration(t), nil
		}
		return 0, fmt.Errorf("is a longer duration than 292 years")
	}
	t, err := time.ParseDuration(strings.TrimSpace(text(v)))
	if err != nil {
		return 0, fmt.Errorf("is neither a number (of %s) nor a duration such as \"90s\"", unitWord(unit))
	}
	return t, nil
}

func unitWord(unit time.Duration) string {
	switch unit {
	case time.Millisecond:
		return "milliseconds"
	case time.Minute:
		return "minutes"
	case time.Hour:
		return "hours"
	}
	return "seconds"
}

// mul multiplies and reports whether the product fits.
func mul(a, b int64) (int64, bool) {
	p := a * b
	return p, a == 0 || p/a == b
}

// untag returns v without this package's own scalar type, for fields of type any.
func untag(v any) any {
	switch x := v.(type) {
	case untyped:
		return x.plain()
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = untag(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = untag(e)
		}
		return out
	}
	return v
}
