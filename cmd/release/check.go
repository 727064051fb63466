package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// comparison is what changed since a release, and what the fragments say of it.
type comparison struct {
	old, now  surfaces
	fragments []fragment
}

// faults returns the changes that have no fragment, in the order of their keys.
func (c comparison) faults() (faults []string) {
	for _, key := range keysOf(c.old.api, c.now.api) {
		faults = append(faults, c.apiFault(key)...)
	}
	for _, key := range keysOf(c.old.wire, c.now.wire) {
		faults = append(faults, c.wireFault(key)...)
	}
	return faults
}

func keysOf(a, b surface) []string {
	return slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, s := range []surface{a, b} {
			for key := range maps.Keys(s) {
				if !yield(key) {
					return
				}
			}
		}
	}))
}

// apiFault judges one exported name.
func (c comparison) apiFault(key string) []string {
	before, was := c.old.api[key]
	after, is := c.now.api[key]
	name := key[strings.LastIndexAny(key, "./")+1:]
	plain := strings.TrimSuffix(after, deprecated)
	switch {
	case was && is && before == after:
		return nil
	case is && after != plain && !strings.HasSuffix(before, deprecated):
		return c.ask(true, key, "is deprecated", name, "deprecation")
	case !was:
		if parent := within(key, c.now.api, c.old.api); parent != "" {
			return nil // the parent is new as well, and its fragment speaks for both
		}
		return c.ask(true, key, "is new", name, "feature", "removal", "deprecation")
	case !is:
		if parent := within(key, c.old.api, c.now.api); parent != "" {
			return nil
		}
		faults := c.ask(true, key, "is gone", name, "removal")
		if !strings.HasSuffix(before, deprecated) && !c.old.isDraft() {
			faults = append(faults, fmt.Sprintf("%s is gone, and release %s did not have it as deprecated; keep it for one "+
				"release, see CONTRIBUTING.md", key, c.old.version))
		}
		return faults
	case strings.TrimSuffix(before, deprecated) == plain:
		return c.ask(true, key, "is not deprecated any more", name, "feature")
	default:
		return c.ask(true, key, fmt.Sprintf("was %q and is %q", before, after), name, "removal")
	}
}

// wireFault judges one operation, parameter or field of the REST API. New parameters and fields need no fragment.
func (c comparison) wireFault(key string) []string {
	before, was := c.old.wire[key]
	after, is := c.now.wire[key]
	name := wireName(key)
	operation := strings.HasPrefix(after, "operation ")
	switch {
	case before == after, !was && !operation:
		return nil
	case !was:
		return c.ask(false, key, "is new", name, "feature")
	case !is && within(key, c.old.wire, c.now.wire) != "":
		return nil
	case !is:
		return c.ask(false, key, "is gone", name, "removal")
	case operation, strings.TrimSuffix(before, " required") == after:
		return nil // further statuses, and fields that are not required any more, break no client
	default:
		return c.ask(false, key, fmt.Sprintf("was %s and is %s", before, after), name, "removal", "bugfix")
	}
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// wireName returns the word that a fragment has for a key: the parameter, the field, the last folder of a path.
func wireName(key string) string {
	words := wordsOf(placeholder.ReplaceAllString(key, ""))
	if len(words) == 0 {
		return key
	}
	return words[len(words)-1]
}

// within returns the key of the whole, which is in one surface and not in the other, or "".
func within(key string, in, notIn surface) string {
	for i := len(key) - 1; i > 0; i-- {
		if key[i] != '.' && key[i] != ' ' {
			continue
		}
		parent := key[:i]
		_, there := in[parent]
		if _, other := notIn[parent]; there && !other {
			return parent
		}
	}
	return ""
}

// ask returns a fault unless a fragment of one of the kinds names the change.
func (c comparison) ask(plugin bool, key, what, name string, kinds ...string) []string {
	for _, f := range c.fragments {
		if f.plugin == plugin && slices.Contains(kinds, f.kind) && f.names()[name] {
			return nil
		}
	}
	folder := fragmentsDir
	if plugin {
		folder += "/" + pluginDir
	}
	return []string{
		fmt.Sprintf("%s %s since %s; tell of `%s` in %s/N.%s", key, what, c.old.version, name, folder, kinds[0]),
	}
}
