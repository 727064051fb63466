package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Fault is one thing that is wrong with the settings. It is of kind Invalid. [Load] and [Set.With] join all faults
// they find into one error; errors.As finds the first, and walking Unwrap() []error all of them.
type Fault struct {
	Key    string // the key, or the part of one: "DATABASES__default__PORT"
	Layer  string // where the value came from, such as "environment variable PULP_WORKER_TTL"; empty if unknown
	Reason string // begins with a verb: "is not a number"; never has the value of a secret
}

// Error returns key, reason and layer.
func (f *Fault) Error() string {
	if f.Layer == "" {
		return f.Key + " " + f.Reason
	}
	return fmt.Sprintf("%s %s (%s)", f.Key, f.Reason, f.Layer)
}

// Unwrap returns pulperr.Invalid.
func (f *Fault) Unwrap() error { return pulperr.Invalid }

// didYouMean returns `; did you mean "X"?` with the nearest of the known names, or "" if none is near.
func didYouMean(name string, known []string) string {
	// A short name with two letters changed is another word, so the number of edits grows with the length.
	best, dist := "", min(1+len(name)/4, 3)
	for _, k := range known {
		if d := distance(strings.ToUpper(name), strings.ToUpper(k), dist); d <= dist && (best == "" || d < dist) {
			best, dist = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the Levenshtein distance of a and b, or anything above limit if it is more than limit.
func distance(a, b string, limit int) int {
	if n := len(a) - len(b); n > limit || -n > limit {
		return limit + 1
	}
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	row := make([]int, len(b)+1)
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
		}
		// The minimum of a row never decreases from row to row, so the result would be above limit, too.
		if slices.Min(row) > limit {
			return limit + 1
		}
		prev, row = row, prev
	}
	return prev[len(b)]
}
