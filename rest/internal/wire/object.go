package wire

import (
	"bytes"
	"encoding/json"
	"net/http"
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

// WriteJSON answers with a JSON body. A body that cannot be encoded is a fault of this package, answered with 500.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	// The body is encoded before the header is sent, or a failure could not be answered with 500.
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"detail":"Internal error."}`)
	}
	// Clients insist on exactly this type, without a charset.
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone if this fails
}
