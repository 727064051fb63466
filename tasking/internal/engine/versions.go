package engine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// requirements returns the versions of plugins that a worker needs for a task, as JSON; nil asks for none.
func (p PluginVersions) requirements(task string, asked map[string]string) (*string, error) {
	if asked == nil {
		plugin := p.pluginOf(task)
		version, known := p[plugin]
		if !known {
			return nil, nil
		}
		asked = map[string]string{plugin: version}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	for plugin, version := range asked {
		if plugin == "" || models.HasNUL(plugin+version) {
			return nil, pulperr.Public(pulperr.Invalid,
				"task %q: plugin %q in version %q cannot be required: the name is empty, or one of the two contains a NUL",
				task, plugin, version)
		}
	}
	text, err := json.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("tasking: versions for %s: %w", task, err)
	}
	return new(string(text)), nil
}

// pluginOf returns the plugin to which a task belongs by its name. The name may be that of the task in Pulp, which
// begins with the Python package of the plugin, "pulp_file" for "file".
func (p PluginVersions) pluginOf(task string) string {
	first, _, _ := strings.Cut(task, ".")
	if first == "pulpcore" {
		return "core"
	}
	if _, known := p[first]; known {
		return first
	}
	return strings.TrimPrefix(first, "pulp_")
}

// PluginVersions are the versions of a worker's plugins, by name.
type PluginVersions map[string]string

// Fulfil reports whether the versions are at least the ones that a task needs.
func (p PluginVersions) Fulfil(versions *string) bool {
	if versions == nil || *versions == "" {
		return true
	}
	var need map[string]string
	if err := json.Unmarshal([]byte(*versions), &need); err != nil {
		return false
	}
	for plugin, least := range need {
		have, ok := p[plugin]
		if !ok || CompareVersions(have, least) < 0 {
			return false
		}
	}
	return true
}

// CompareVersions compares "3.81.0" with "3.81.0rc1" or "3.9" the way people do: numbers by value, everything between
// dots, and what follows a number ("rc1", "-dev") comes before the bare number. Build metadata behind a plus does not
// count.
func CompareVersions(a, b string) int {
	a, _, _ = strings.Cut(strings.TrimPrefix(a, "v"), "+")
	b, _, _ = strings.Cut(strings.TrimPrefix(b, "v"), "+")
	for a != "" || b != "" {
		var partA, partB string
		partA, a, _ = strings.Cut(a, ".")
		partB, b, _ = strings.Cut(b, ".")
		if c := comparePart(partA, partB); c != 0 {
			return c
		}
	}
	return 0
}

func comparePart(a, b string) int {
	numberA, restA := leadingNumber(a)
	numberB, restB := leadingNumber(b)
	switch {
	case numberA != numberB:
		if numberA < numberB {
			return -1
		}
		return 1
	case restA == restB:
		return 0
	case restA == "":
		return 1
	case restB == "":
		return -1
	}
	return strings.Compare(restA, restB)
}

// leadingNumber splits "0rc1" into 0 and "rc1".
func leadingNumber(part string) (uint64, string) {
	end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(part)
	}
	n, err := strconv.ParseUint(part[:end], 10, 64)
	if err != nil {
		n = 0
	}
	return n, part[end:]
}
