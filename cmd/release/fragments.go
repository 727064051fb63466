package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	fragmentsDir = "CHANGES"
	pluginDir    = "plugin_api" // below it
	logFile      = "CHANGES.md"
)

// kinds are those of fragments, in the order of the change log.
func kinds() []string { return []string{"feature", "bugfix", "deprecation", "removal", "doc", "misc"} }

// title returns the heading of a kind.
func title(kind string) string {
	switch kind {
	case "feature":
		return "Features"
	case "bugfix":
		return "Bug fixes"
	case "deprecation":
		return "Deprecations"
	case "removal":
		return "Removals"
	case "doc":
		return "Documentation"
	default:
		return "Other"
	}
}

// fragment is one change, as one of its files tells it.
type fragment struct {
	file   string // from the root of the module, with slashes
	kind   string
	issue  string // "12", or "" for a change without one
	plugin bool   // for those who import the module
	text   string // without a line break at the end; may be empty for "misc"
}

// fragmentName matches 12.feature, 12.1.feature and +word.feature.
var fragmentName = regexp.MustCompile(`^(?:([1-9]\d*)(?:\.\d+)?|\+[a-z0-9-]+)\.([a-z]+)$`)

// readFragments returns the fragments below a folder, ordered by file.
//
// Errors: one for each file that is none.
func readFragments(dir string) (all []fragment, err error) {
	var faults []error
	walked := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || rel == "README.md" {
			return err
		}
		f, err := readFragment(dir, filepath.ToSlash(rel))
		if err != nil {
			faults = append(faults, err)
			return nil
		}
		all = append(all, f)
		return nil
	})
	return all, errors.Join(append(faults, walked)...)
}

// readFragment reads the fragment in dir/rel.
func readFragment(dir, rel string) (fragment, error) {
	f := fragment{file: path.Join(fragmentsDir, rel)}
	folder, base := path.Split(rel)
	switch folder {
	case "":
	case pluginDir + "/":
		f.plugin = true
	default:
		return f, fmt.Errorf("%s: fragments are in %s and in %[2]s/%[3]s", f.file, fragmentsDir, pluginDir)
	}
	parts := fragmentName.FindStringSubmatch(base)
	if parts == nil {
		return f, fmt.Errorf("%s: a fragment is called like 12.feature or +word.feature", f.file)
	}
	f.issue, f.kind = parts[1], parts[2]
	if !slices.Contains(kinds(), f.kind) {
		return f, fmt.Errorf("%s: the kind %q is none of %s", f.file, f.kind, strings.Join(kinds(), ", "))
	}
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(rel)))
	if err != nil {
		return f, err
	}
	f.text = strings.TrimSpace(string(raw))
	switch {
	case !utf8.Valid(raw):
		return f, fmt.Errorf("%s: the text is not UTF-8", f.file)
	case f.text == "" && f.kind != "misc":
		return f, fmt.Errorf("%s: the text is empty; say in one or two sentences what has changed for the reader", f.file)
	case strings.HasPrefix(f.text, "#"):
		return f, fmt.Errorf("%s: the text begins with a heading, which the change log makes", f.file)
	}
	return f, nil
}

// names returns the words in backticks, split at dots and at all that is not of a name: `App.Idle()` names App and
// Idle. In a wire fragment, `with_content` and `tasks/events/` are named in the same way.
func (f fragment) names() map[string]bool {
	names := map[string]bool{}
	inCode := false
	for part := range strings.SplitSeq(f.text, "`") {
		if inCode {
			for _, word := range wordsOf(part) {
				names[word] = true
			}
		}
		inCode = !inCode
	}
	return names
}

var nameWord = regexp.MustCompile(`[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*`)

func wordsOf(text string) []string { return nameWord.FindAllString(text, -1) }

// section returns the section of a release, with a line break at its end.
func section(version, date string, all []fragment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s (%s)\n", version, date)
	for _, plugin := range []bool{false, true} {
		heading := "###"
		own := slices.DeleteFunc(slices.Clone(all), func(f fragment) bool { return f.plugin != plugin })
		if len(own) == 0 {
			continue
		}
		if plugin {
			b.WriteString("\n### Plugin API\n")
			heading = "####"
		}
		for _, kind := range kinds() {
			writeKind(&b, heading, kind, own)
		}
	}
	if len(all) == 0 {
		b.WriteString("\nNo changes.\n")
	}
	return b.String()
}

// writeKind writes the fragments of one kind, if there are some with a text.
func writeKind(b *strings.Builder, heading, kind string, all []fragment) {
	first := true
	for _, f := range all {
		if f.kind != kind || f.text == "" {
			continue
		}
		if first {
			fmt.Fprintf(b, "\n%s %s\n\n", heading, title(kind))
			first = false
		}
		// Lines that go on are indented, so that they stay within the item of the list.
		text := strings.ReplaceAll(f.text, "\n", "\n  ")
		if f.issue != "" {
			text += " (#" + f.issue + ")"
		}
		fmt.Fprintf(b, "- %s\n", text)
	}
}

const logTitle = "# Changes\n"

// addSection puts a section in front of the others in the change log.
func (r release) addSection(text string) error {
	old, err := os.ReadFile(r.path(logFile))
	if errors.Is(err, fs.ErrNotExist) {
		old, err = []byte(logTitle), nil
	}
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(string(old), logTitle)
	if !ok {
		return fmt.Errorf("%s does not begin with the line %q", logFile, strings.TrimSpace(logTitle))
	}
	if strings.Contains(rest, "\n## "+r.version+" ") {
		return fmt.Errorf("%s has a section %s already; give another version, or take the section out", logFile, r.version)
	}
	return replaceFile(r.path(logFile), logTitle+"\n"+text+rest)
}

// replaceFile writes a file, whole or not at all.
func replaceFile(name, text string) error {
	tmp := name + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil { //nolint:gosec // a file of the repository
		return err
	}
	return os.Rename(tmp, name)
}
