package models_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

const someID = "0198f6c2-0000-7000-8000-0123456789ab"

func TestParsePRN(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in string
		ok bool
	}{
		{"prn:file.filerepository:" + someID, true},
		{"prn:core.repositoryversion:" + someID, true},
		{"prn:pulp-x.y:" + someID, true},
		{"", false},
		{"prn:file.filerepository:", false},
		{"prn:file.filerepository:" + strings.ToUpper(someID), false},
		{"prn:file.filerepository:" + strings.ReplaceAll(someID, "-", "a"), false},
		{"prn:file.filerepository:------------------------------------", false},
		{"PRN:file.filerepository:" + someID, false},
		{"prn:file:" + someID, false},
		{"prn:.x:" + someID, false},
		{"prn:file.filerepository:" + someID + "\n", false},
		{" prn:file.filerepository:" + someID, false},
	}
	for _, test := range tests {
		p, err := models.ParsePRN(test.in)
		if test.ok && (err != nil || p.String() != test.in) {
			t.Errorf("ParsePRN(%q) = %v, %v", test.in, p, err)
		}
		if !test.ok && !errors.Is(err, pulperr.Invalid) {
			t.Errorf("ParsePRN(%q) = %v, %v, want Invalid", test.in, p, err)
		}
	}
}

func FuzzParsePRN(f *testing.F) {
	f.Add("prn:file.filerepository:" + someID)
	f.Add("prn:core.artifact:urn:uuid:" + someID)
	f.Fuzz(func(t *testing.T, in string) {
		p, err := models.ParsePRN(in)
		if err == nil && p.String() != in {
			t.Errorf("ParsePRN(%q).String() = %q", in, p)
		}
		if err != nil && !errors.Is(err, pulperr.Invalid) {
			t.Errorf("ParsePRN(%q) = %v, want Invalid", in, err)
		}
	})
}

func TestValidPath(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]bool{
		"a": true, "a/b.txt": true, "ä/ö?x=1&y": true, "a b": true, "...": true, "a/..b": true, "%2e%2e/x": true,
		"C:\\x": true,
		"":      false, ".": false, "..": false, "/a": false, "a/": false, "a//b": false, "a/./b": false, "a/../b": false,
		"../a": false, "a\x00": false, "a\nb": false, "a\x7f": false, "\xff": false,
		strings.Repeat("x", 2000): true, strings.Repeat("x", 2001): false,
	} {
		if got := models.ValidPath(p); got != want {
			t.Errorf("ValidPath(%.40q) = %v, want %v", p, got, want)
		}
	}
}

func FuzzValidPath(f *testing.F) {
	for _, p := range []string{"a/b", "../x", "a//b", "\x00", "a/.", "%2e"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if !models.ValidPath(p) {
			return
		}
		if !fs.ValidPath(p) || p == "." || strings.ContainsAny(p, "\x00\r\n") || strings.HasPrefix(p, "/") {
			t.Errorf("ValidPath(%q) = true", p)
		}
		for s := range strings.SplitSeq(p, "/") {
			if s == "" || s == "." || s == ".." {
				t.Errorf("ValidPath(%q) = true", p)
			}
		}
	})
}

func FuzzReadTag(f *testing.F) {
	for _, tag := range []string{
		"", "natural,repo,len=64", "len=", "len=-1", "len", "natural,natural", ",", "repo=x", "len=99999999999999999999",
	} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		field, err := models.ReadTag(tag)
		if err != nil {
			return
		}
		if field.Len < 0 || field.Natural != strings.Contains(tag, "natural") || field.Repo != strings.Contains(tag, "repo") {
			t.Errorf("tag %q was read as %+v", tag, field)
		}
		if strings.Trim(tag, ",") != "" && !field.Natural && !field.Repo && field.Len == 0 {
			t.Errorf("tag %q was taken for nothing", tag)
		}
	})
}

func FuzzRef(f *testing.F) {
	f.Add([]byte(someID))
	f.Add([]byte(""))
	f.Add([]byte("{" + someID + "}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r, again models.Ref[File]
		if err := r.UnmarshalText(text); err != nil {
			if !r.IsZero() {
				t.Errorf("UnmarshalText(%q) failed and left %v", text, r)
			}
			return
		}
		out, err := r.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(out); err != nil || again != r {
			t.Errorf("%q -> %q -> %v, %v", text, out, again, err)
		}
	})
}

func TestRefJSON(t *testing.T) {
	t.Parallel()
	type args struct {
		File models.Ref[File] `json:"file"`
	}
	for in, want := range map[string]uuid.UUID{
		`{"file":"` + someID + `"}`: uuid.MustParse(someID),
		`{"file":""}`:               uuid.Nil,
	} {
		var a args
		if err := json.Unmarshal([]byte(in), &a); err != nil || a.File.ID != want {
			t.Errorf("Unmarshal(%s) = %v, %v", in, a, err)
		}
		if out, err := json.Marshal(a); err != nil || string(out) != in {
			t.Errorf("Marshal = %s, %v, want %s", out, err, in)
		}
	}
	var a args
	if err := json.Unmarshal([]byte(`{"file":"x"}`), &a); err == nil {
		t.Error("Unmarshal of no uuid succeeded")
	}
}
