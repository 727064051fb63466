package wire

import (
	"strings"
	"time"
)

// Time is a time in answers. It is written as by [Timestamp].
type Time time.Time

// MarshalJSON writes the time.
func (t Time) MarshalJSON() ([]byte, error) { return appendTime(nil, time.Time(t)), nil }

// TimeOrNull returns t for a member that may be null.
func TimeOrNull(t *time.Time) *Time { return (*Time)(t) }

// Timestamp writes a time in UTC with six digits of microseconds, or none if they are zero.
func Timestamp(t time.Time) string { return string(appendTimestamp(nil, t)) }

func appendTimestamp(dst []byte, t time.Time) []byte {
	t = t.UTC()
	// Python's isoformat, with which Pulp writes times, leaves out microseconds that are zero.
	if t.Nanosecond()/1000 == 0 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

// ParseTime reads an ISO 8601 time; without a zone it is UTC, without a time of day midnight. The zone may have a colon
// or not, or be the hours alone: the clients that are generated from the document write +0000.
func ParseTime(text string) (time.Time, bool) {
	day, clock, hasClock := text, "", false
	if i := strings.IndexAny(text, "T "); i >= 0 {
		day, clock, hasClock = text[:i], text[i+1:], true
	}
	if !hasClock {
		t, err := time.Parse(time.DateOnly, day)
		return storable(t, err == nil)
	}
	for _, layout := range []string{"15:04:05", "15:04"} { // time.Parse reads a fraction after the seconds
		for _, zone := range []string{"", "Z07:00", "Z0700", "Z07"} {
			if t, err := time.Parse(time.DateOnly+"T"+layout+zone, day+"T"+clock); err == nil {
				return storable(t, true)
			}
		}
	}
	return time.Time{}, false
}

// storable returns a time as the databases keep it: in UTC, with microseconds, of a year with four digits.
func storable(t time.Time, ok bool) (time.Time, bool) {
	// Postgres keeps microseconds. Clients in Python cannot read years outside of 1 to 9999, also after a change to UTC.
	t = t.UTC().Truncate(time.Microsecond)
	return t, ok && t.Year() > 0 && t.Year() < 10000
}
