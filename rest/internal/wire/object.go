package wire

import "net/http"

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
func (o Object) MarshalJSON() ([]byte, error) { return o.appendTo(nil) }

// Href is a link to a row, or a PRN where the row has none.
type Href string

// WriteJSON answers with a JSON body. A body that cannot be encoded is a fault of this package, answered with 500.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	// The body is encoded before the header is sent, or a failure could not be answered with 500.
	b, err := Append(nil, body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"detail":"Internal error."}`)
	}
	// Clients insist on exactly this type, without a charset.
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone if this fails
}
