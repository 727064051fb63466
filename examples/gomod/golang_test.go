package gomod_test

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/pulpgo/pulpcore/examples/gomod"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// TestGoCommand: the real go command builds a program of ten modules with an empty module cache, and again when the
// upstream is gone.
func TestGoCommand(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]setup{
		"pull-through": {pull: true},
		"immediate":    {policy: models.Immediate},
		"on demand":    {policy: models.OnDemand},
		"streamed":     {policy: models.Streamed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
				t.Parallel()
				u := newUpstream(t)
				list := u.tenModules()
				if !o.pull {
					o := o
					o.modules = list
					w := newWorld(t, app, u, o)
					w.sync()
					build(t, w, u, list)
					return
				}
				build(t, newWorld(t, app, u, o), u, list)
			}, gomod.Plugin())
		})
	}
}

func build(t *testing.T, w *world, u *upstream, list []string) {
	t.Helper()
	p := newProgram(t, w.proxy(), list...)
	want := strings.Join(list, "\n") + "\n"
	if got := p.goes("run", "."); !strings.HasSuffix(got, want) {
		t.Errorf("the program prints\n%s", got)
	}
	w.Settle(t)
	for _, m := range w.members() {
		if m.ZipHash == "" || m.ModHash == "" || !strings.Contains(p.read("go.sum"), m.ZipHash) {
			t.Errorf("%s@%s has the hashes %q and %q, which go.sum has not", m.Path, m.Version, m.ZipHash, m.ModHash)
		}
	}
	if n := len(w.members()); n != len(list) {
		t.Errorf("the repository has %d module versions, want %d: %v", n, len(list), w.names())
	}
	for _, asked := range u.Asked() {
		if n := u.Count(strings.TrimPrefix(asked.Path, "/")); n > 1 && !strings.HasSuffix(asked.Path, "list") {
			t.Errorf("the upstream was asked %d times for %s", n, asked.Path)
		}
	}
	u.leave()
	p.emptyCache()
	if got := p.goes("run", "."); !strings.HasSuffix(got, want) {
		t.Errorf("without the upstream the program prints\n%s", got)
	}
	if !strings.Contains(p.goes("list", "-m", "-versions", "example.com/one"), "v1.0.0") {
		t.Error("go list does not show v1.0.0")
	}
}

func TestGoGetLatest(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.add("example.com/a", "v1.0.0", "old")
	u.add("example.com/a", "v1.1.0", "new")
	u.add("example.com/pseudo", "v0.0.0-20240102030405-abcdefabcdef", "commit")
	w := newWorld(t, pulptest.New(t, gomod.Plugin()), u, setup{pull: true})
	p := newProgram(t, w.proxy())
	p.goes("get", "example.com/a@latest", "example.com/pseudo@latest")
	for _, want := range []string{"example.com/a v1.1.0", "abcdefabcdef"} {
		if mod := p.read("go.mod"); !strings.Contains(mod, want) {
			t.Errorf("go.mod has no %q:\n%s", want, mod)
		}
	}
	p.fails("404 Not Found", "get", "example.com/absent@latest")
	p.fails("404 Not Found", "get", "example.com/a@v1.2.0")
}

// TestGoCommandRefuses: a tampered module makes the go command fail, and stays out of the repository.
func TestGoCommandRefuses(t *testing.T) {
	t.Parallel()
	const good, files, refused = "example.com/a@v1.0.0", "example.com/a/@v/v1.0.0", "502 Bad Gateway"
	for name, tt := range map[string]struct {
		tamper func(t *testing.T, u *upstream)
		want   string
		kept   int // members of the repository
	}{
		"another zip": {
			func(_ *testing.T, u *upstream) { u.add("example.com/a", "v1.0.0", "evil") }, "checksum mismatch", 1,
		},
		"a zip with another go.mod": {func(t *testing.T, u *upstream) {
			u.set(files+".zip", zipOf(t, "example.com/a", "v1.0.0", "m.go", "package m\n", "go.mod", "module x\n"))
		}, refused, 0},
		"a zip without the go.mod": {func(t *testing.T, u *upstream) {
			u.set(files+".zip", zipOf(t, "example.com/a", "v1.0.0", "m.go", "package m\n"))
		}, refused, 0},
		"a zip of another version": {func(t *testing.T, u *upstream) {
			u.set(files+".zip", zipOf(t, "example.com/a", "v1.0.1", "m.go", "package m\n"))
		}, refused, 0},
		"no zip": {func(_ *testing.T, u *upstream) { u.set(files+".zip", []byte("zip")) }, refused, 0},
		"a lying .info": {func(_ *testing.T, u *upstream) {
			u.set(files+".info", []byte(`{"Version":"v1.0.1"}`))
		}, refused, 0},
		"a broken .info": {func(_ *testing.T, u *upstream) { u.set(files+".info", []byte(`{`)) }, refused, 0},
		"a cut zip":      {func(_ *testing.T, u *upstream) { u.Cut(files+".zip", 100, 10) }, refused, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			u.add("example.com/a", "v1.0.0", "good")
			first := newProgram(t, u.URL, good)
			first.goes("mod", "download", "all")
			first.goes("build", "-o", "/dev/null", ".")
			tt.tamper(t, u)
			w := newWorld(t, pulptest.New(t, gomod.Plugin()), u, setup{pull: true})
			p := newProgram(t, w.proxy(), good)
			p.write("go.sum", first.read("go.sum"))
			p.fails(tt.want, "build", "-o", "/dev/null", ".")
			w.Settle(t)
			if n := len(w.members()); n != tt.kept {
				t.Errorf("the repository has %v", w.names())
			}
		})
	}
}

// TestChecksumDatabase: the go command reaches a checksum database by way of the proxy, and refuses what is not in it.
func TestChecksumDatabase(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.add("example.com/a", "v1.0.0", "good")
	u.add("example.com/b", "v1.0.0", "evil")
	signer, verifier, err := note.GenerateKey(nil, "sums.example.com")
	if err != nil {
		t.Fatal(err)
	}
	u.sumdb = sums(t, signer)
	w := newWorld(t, pulptest.New(t, gomod.Plugin()), u, setup{pull: true})
	p := newProgram(t, w.proxy(), "example.com/a@v1.0.0")
	p.env = append(p.env, "GOSUMDB="+verifier, "GONOSUMDB=")
	p.goes("build", "-o", "/dev/null", ".")
	for _, path := range []string{"supported", "lookup/example.com/a@v1.0.0"} {
		if u.Count("sumdb/sums.example.com/"+path) == 0 {
			t.Errorf("the database was not asked for %s: %v", path, u.Asked())
		}
	}
	p.fails("SECURITY ERROR", "get", "example.com/b@v1.0.0")
	if got := w.get("sumdb/other.example.com/supported"); got.Status != 404 {
		t.Errorf("another database: status %d, want 404", got.Status)
	}
}

// sums is a database of the good modules.
func sums(t *testing.T, signer string) http.Handler {
	other := newUpstream(t)
	other.add("example.com/a", "v1.0.0", "good")
	other.add("example.com/b", "v1.0.0", "good")
	known := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		m := &gomod.Module{Path: path, Version: version}
		return goSum(t, other, m)
	})
	mux := http.NewServeMux()
	server := sumdb.NewServer(known)
	for _, p := range sumdb.ServerPaths {
		mux.Handle(p, server)
	}
	const at = "/sumdb/sums.example.com"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == at+"/supported" {
			w.WriteHeader(http.StatusOK)
			return
		}
		http.StripPrefix(at, mux).ServeHTTP(w, r)
	})
}

// goSum returns the lines of go.sum for a module version, as the go command computes them.
func goSum(t *testing.T, u *upstream, m *gomod.Module) ([]byte, error) {
	p := newProgram(t, u.URL, m.Path+"@"+m.Version)
	p.goes("mod", "download", "all")
	p.goes("build", "-o", "/dev/null", ".")
	return []byte(p.read("go.sum")), nil
}

// TestTwoApps: two Apps of one process share nothing.
func TestTwoApps(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"first", "second"} {
		u := newUpstream(t)
		u.add("example.com/a", "v1.0.0", text)
		w := newWorld(t, pulptest.New(t, gomod.Plugin()), u, setup{pull: true})
		if got := newProgram(t, w.proxy(), "example.com/a@v1.0.0").goes("run", "."); !strings.HasSuffix(got, text+"\n") {
			t.Errorf("the program prints %q, want %q", got, text)
		}
	}
}
