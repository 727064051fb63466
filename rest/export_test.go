package rest

import "time"

// SetKeepAlive sets how often streams of events say that they are there.
func SetKeepAlive(a *API, every time.Duration) { a.alive = every }

// DecodeBody reads the JSON of a request.
func DecodeBody(raw []byte) error {
	_, err := decodeJSON(raw, maxMembers)
	return err
}
