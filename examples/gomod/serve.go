package gomod

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

var (
	_ content.Handler     = (*Distribution)(nil)
	_ content.PullThrough = (*Distribution)(nil)
	_ models.RemoteUnit   = (*Module)(nil)
)

// RemoteUnit returns the module version that a path names. It implements [content.PullThrough].
func (d *Distribution) RemoteUnit(r *content.Request) models.RemoteUnit {
	t, ok := parsePath(r.Path)
	if !ok || t.version == "" {
		return nil
	}
	return &Module{Path: t.module, Version: t.version}
}

// ContentHandler answers lists of versions, and passes on the checksum database of the remote. Files are left to the
// content app. It implements [content.Handler].
func (d *Distribution) ContentHandler(ctx context.Context, r *content.Request) (http.Handler, error) {
	if strings.HasPrefix(r.Path, "sumdb/") {
		// The remote decides which databases it supports. With 404 the go command asks the database itself.
		body, err := r.FetchRemote(ctx, r.Path, maxInfo)
		return send("text/plain; charset=utf-8", body), err
	}
	t, ok := parsePath(r.Path)
	if !ok || t.version != "" {
		return nil, nil
	}
	here, err := versions(ctx, r, t.module)
	if err != nil {
		return nil, err
	}
	body, err := r.FetchRemote(ctx, r.Path, maxInfo)
	// What is here stays available without the remote. If nothing is, the client must not take that for an empty list.
	if err != nil && len(here) == 0 {
		return nil, err
	}
	if t.kind == "list" {
		return send("text/plain; charset=utf-8", list(t.module, here, body)), nil
	}
	if err == nil {
		there, err := parseInfo(t.module, "", body)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", pulperr.Unavailable, err) // Invalid would blame the client
		}
		here = append(here, there)
	}
	if body, err = json.Marshal(slices.MaxFunc(here, newer)); err != nil {
		return nil, err
	}
	return send("application/json", body), nil
}

func send(contentType string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	})
}

// versions returns the versions of a module that the distribution's repository has.
func versions(ctx context.Context, r *content.Request, path string) ([]info, error) {
	source, err := r.Source(ctx)
	if errors.Is(err, pulperr.NotFound) {
		return nil, nil // the distribution has a remote alone
	}
	if err != nil {
		return nil, err
	}
	v, err := source.Version(ctx)
	if err != nil {
		return nil, err
	}
	found, err := Modules.List(ctx, r.DB, models.InVersion(v), models.Eq("path", path))
	if err != nil {
		return nil, err
	}
	list := make([]info, len(found))
	for i, m := range found {
		list[i] = info{m.Version, m.Time}
	}
	return list, nil
}

// list returns the versions that are here and those of the remote's list, without pseudo-versions, in ascending order.
func list(path string, here []info, there []byte) []byte {
	var all []string
	for _, in := range here {
		all = append(all, in.Version)
	}
	all = append(all, strings.Fields(string(there))...)
	all = slices.DeleteFunc(all, func(v string) bool { return checkVersion(path, v) != nil || module.IsPseudoVersion(v) })
	semver.Sort(all)
	return []byte(strings.Join(append(slices.Compact(all), ""), "\n"))
}

// newer compares versions by the order in which the go command chooses the latest one: releases, then pre-releases,
// then pseudo-versions; of the latter the one of the latest commit.
func newer(a, b info) int {
	s, _ := module.PseudoVersionTime(a.Version) // zero for the others
	t, _ := module.PseudoVersionTime(b.Version)
	return cmp.Or(cmp.Compare(rank(a.Version), rank(b.Version)), s.Compare(t), semver.Compare(a.Version, b.Version))
}

func rank(version string) int {
	switch {
	case module.IsPseudoVersion(version):
		return 0
	case semver.Prerelease(version) != "":
		return 1
	}
	return 2
}
