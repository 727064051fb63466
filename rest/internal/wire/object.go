package wire

import (
	"bytes"
	"encoding/json"
	"time"
)

// Object is a JSON object whose members keep their order.
type Object []Member

// Member is one member of an [Object].
type Member struct {
	Name  string
	Value any
}

// Set appends a member.
func (o *Object) Set(name string, value any) { *o = append(*o, Member{name, value}) }

// MarshalJSON writes the members in order.
func (o Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(pulpTime(m.Value))
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// pulpTime gives a time the form of [Time], which encoding/json would write with as many digits as it has.
func pulpTime(v any) any {
	switch t := v.(type) {
	case time.Time:
		return Time(t)
	case *time.Time:
		return (*Time)(t)
	}
	return v
}

// Href is a link to a row, or a PRN where the row has none.
type Href string
