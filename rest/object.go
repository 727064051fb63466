package rest

import (
	"bytes"
	"encoding/json"
	"time"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

func (o *object) set(name string, value any) { *o = append(*o, member{name, value}) }

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		value, err := encodeJSON(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encodeJSON is json.Marshal with Pulp's form of times.
func encodeJSON(v any) ([]byte, error) {
	switch t := v.(type) {
	case time.Time:
		return json.Marshal(timestamp(t))
	case *time.Time:
		if t == nil {
			return []byte("null"), nil
		}
		return json.Marshal(timestamp(*t))
	}
	return json.Marshal(v)
}

// timestamp writes a time with microseconds, or without any if they are zero.
func timestamp(t time.Time) string {
	t = t.UTC()
	if t.Nanosecond()/1000 == 0 {
		return t.Format("2006-01-02T15:04:05Z")
	}
	return t.Format("2006-01-02T15:04:05.000000Z")
}

// pick returns the members that a client asked for with fields= and exclude_fields=.
func (o object) pick(only, without map[string]bool) object {
	if len(only) == 0 && len(without) == 0 {
		return o
	}
	kept := make(object, 0, len(o))
	for _, m := range o {
		if (len(only) == 0 || only[m.name]) && !without[m.name] {
			kept = append(kept, m)
		}
	}
	return kept
}
