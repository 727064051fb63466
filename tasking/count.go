package tasking

import "iter"

// Count returns seq as it is and counts each item as done when the next one is asked for, so that an item at which the
// loop is left does not count, nor does an error.
//
//	for file, err := range tasking.Count(p, files) { … }
//
// Mirrors pulpcore.plugin.models.ProgressReport.iter.
func Count[T any](p *Progress, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range seq {
			if !yield(item, err) {
				return
			}
			if err == nil {
				p.Add(1)
			}
		}
	}
}
