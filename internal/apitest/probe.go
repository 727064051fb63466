package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/tasking"
)

// ProbeOptions say which requests [Probe] generates.
type ProbeOptions struct {
	Seed uint64 // of the random choices
	// Requests is how many requests with one fault an operation gets, chosen at random from the listed ones, and how
	// many random requests.
	Requests int
	// Foreign are hrefs of rows in another domain than the API's.
	Foreign []string
}

// probe sends generated requests.
type probe struct {
	*walk
	ProbeOptions

	random   *rand.Rand
	hrefs    []string            // of rows that exist
	artifact string              // href of an artifact
	methods  map[string][]string // that the document declares for a path
	counts   map[string]*[6]int  // answers of each operation by the first digit of their status
	faults   int
	seen     map[string]bool // faults of operations
}

// maxProbeFaults ends a probe that finds the same fault again and again.
const maxProbeFaults = 50

// shot is one generated request.
type shot struct {
	what   string // for failures
	o      *operation
	method string // in place of the operation's
	path   string
	query  string
	typ    string // content type
	body   []byte // nil is none
	from   who
	// refused demands a status from 400 to 499, and want a certain one. Without them every status will do that the
	// document declares.
	refused bool
	want    int
}

// Probe makes valid and invalid requests of every operation that the API's document declares: as a superuser, as an
// account without rights and without an account. It fails for an answer that the document does not declare, for a
// status from 500 on, for a request that must be refused and was not, and for an operation of which no request was
// accepted.
func Probe(t *testing.T, s Server, opts ProbeOptions) {
	t.Helper()
	p := &probe{
		walk: &walk{Server: s, tried: map[string]bool{}}, ProbeOptions: opts,
		random: rand.New(rand.NewPCG(opts.Seed, opts.Seed)), //nolint:gosec // the same choices for the same seed
		counts: map[string]*[6]int{}, seen: map[string]bool{}, methods: map[string][]string{},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the seed of the generated requests is %d", opts.Seed)
		}
	})
	p.load(t)
	p.furnish(t)
	ids := slices.Sorted(maps.Keys(p.ops))
	for _, id := range ids {
		o := p.ops[id]
		p.methods[o.path] = append(p.methods[o.path], o.method)
	}
	for _, id := range inOrder(ids, p.ops) {
		if !p.enough() {
			p.operation(t, p.ops[id])
		}
	}
	total := [6]int{}
	for _, id := range ids {
		counts := p.counts[id]
		if counts == nil {
			continue // the probe ended before
		}
		for digit, n := range counts {
			total[digit] += n
		}
		// The document of an operation that no request may use has no success.
		if counts[2] == 0 && p.ops[id].succeeds() {
			t.Errorf("%s: no generated request was accepted", id)
		}
	}
	t.Logf("%d operations answered: 2xx %d, 4xx %d, 5xx %d", len(ids), total[2], total[4], total[5])
}

// inOrder returns the operations in an order in which each finds its row: removals come last, and those of
// repositories, with which versions and publications go, at the very end.
func inOrder(ids []string, ops map[string]*operation) []string {
	rank := func(id string) int {
		switch {
		case ops[id].method != http.MethodDelete:
			return 0
		case strings.HasPrefix(id, "repositories_") && strings.HasSuffix(id, "_delete") && strings.Count(ops[id].path, "{") == 1:
			return 2
		}
		return 1
	}
	list := slices.Clone(ids)
	slices.SortStableFunc(list, func(a, b string) int { return rank(a) - rank(b) })
	return list
}

// enough reports whether the test has failed so often that more faults would not help.
func (p *probe) enough() bool { return p.faults > maxProbeFaults }

// succeeds reports whether the document declares a success.
func (o *operation) succeeds() bool {
	for status := range o.Responses.Map() {
		if status[0] == '2' || status == "default" {
			return true
		}
	}
	return false
}

// open reports whether the operation asks for no login.
func (o *operation) open() bool { return o.Security == nil || len(*o.Security) == 0 }

// operation makes the requests of one operation, and runs the tasks that they have dispatched.
func (p *probe) operation(t *testing.T, o *operation) {
	t.Helper()
	p.counts[o.OperationID] = &[6]int{}
	if strings.HasSuffix(o.OperationID, "_cancel") {
		p.renew(t)
	}
	path, found := p.place(o)
	if !found {
		t.Errorf("%s: no row exists for %s", o.OperationID, o.path)
		p.faults++
		return
	}
	good := shot{what: "a good request", o: o, path: path, from: admin}
	if o.body() != nil {
		good.body, good.typ = p.encodeMembers(o, p.goodMembers(o))
	}
	p.refuseStrangers(t, good)
	p.wrongMethods(t, good)
	for _, wrong := range p.choose(good) {
		p.at(t, wrong)
	}
	p.at(t, good)
	p.finishTasks(t)
}

// choose returns the generated requests of an operation: some of the listed faults, and as many random ones.
func (p *probe) choose(good shot) []shot {
	list := slices.Concat(p.wrongKeys(good), p.wrongQueries(good))
	if good.o.body() != nil {
		list = append(list, p.wrongBodies(good)...)
	}
	p.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = list[:min(len(list), p.Requests)]
	// A random request for a removal could be the good one, which comes last.
	if good.o.method != http.MethodDelete {
		for range p.Requests {
			list = append(list, p.any(good))
		}
	}
	return list
}

// at makes a request and compares the answer with what it must be.
func (p *probe) at(t *testing.T, s shot) {
	t.Helper()
	if p.enough() {
		return
	}
	g := p.shoot(t, s)
	if counts := p.counts[s.o.OperationID]; s.from == admin && s.method == "" {
		counts[min(g.status/100, 5)]++
	}
	var faults []string
	switch {
	case g.status >= http.StatusInternalServerError:
		faults = append(faults, "the server failed")
	case s.want != 0 && g.status != s.want:
		faults = append(faults, fmt.Sprintf("want %d", s.want))
	case s.refused && g.status < http.StatusBadRequest:
		faults = append(faults, "the request was accepted")
	}
	if s.method == "" {
		sparse := strings.Contains(s.query, "fields=") || strings.Contains(s.query, "minimal=")
		faults = append(faults, s.o.check(g.status, g.header, g.raw, sparse)...)
	}
	for _, fault := range faults {
		// One request for each kind of fault tells enough.
		if key := s.o.OperationID + fault; p.seen[key] {
			continue
		} else {
			p.seen[key] = true
		}
		p.faults++
		t.Errorf("%s: %s %s%s (%s, %.300q) = %d: %s: %.400s", s.what, s.o.OperationID, s.path, shorten(s.query), s.typ, s.body,
			g.status, fault, g.raw)
	}
}

func shorten(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// shoot sends a request.
func (p *probe) shoot(t *testing.T, s shot) *got {
	t.Helper()
	// A stream of events has no end: cancel ends it when shoot returns.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	method := s.method
	if method == "" {
		method = s.o.method
	}
	var body io.Reader = http.NoBody
	if s.body != nil {
		body = bytes.NewReader(s.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.URL+s.path+s.query, body)
	if err != nil {
		t.Fatalf("%s: %v", s.what, err)
	}
	if s.typ != "" {
		req.Header.Set("Content-Type", s.typ)
	}
	if s.from != nobody {
		p.Login(req, s.from == admin)
	}
	res, err := http.DefaultTransport.RoundTrip(req) // a redirect is an answer, too
	if err != nil {
		t.Fatalf("%s: %s: %v", s.what, s.o.OperationID, err)
	}
	defer res.Body.Close()
	g := &got{status: res.StatusCode, header: res.Header}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return g
	}
	if g.raw, err = io.ReadAll(res.Body); err != nil {
		t.Fatalf("%s: %s: %v", s.what, s.o.OperationID, err)
	}
	return g
}

// finishTasks runs the tasks that wait, but for syncs, whose remotes have no server. A task that fails must tell the
// client why.
func (p *probe) finishTasks(t *testing.T) {
	t.Helper()
	for _, row := range p.tasks(t, "state=waiting&name__contains=sync&fields=pulp_href") {
		p.shoot(t, shot{
			o: p.ops["tasks_cancel"], path: row["pulp_href"].(string), typ: "application/json",
			body: []byte(`{"state": "canceled"}`),
		})
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, row := range p.tasks(t, "state=failed&limit=1000") {
		href := row["pulp_href"].(string)
		if reason, _ := row["error"].(map[string]any); !slices.Contains(p.hrefs, href) &&
			strings.Contains(strings.ToLower(fmt.Sprint(reason["description"])), "internal error") {
			p.faults++
			t.Errorf("task %v: %v", row["name"], reason)
		}
		p.hrefs = append(p.hrefs, href)
	}
}

// tasks returns the tasks that a query selects.
func (p *probe) tasks(t *testing.T, query string) []map[string]any {
	t.Helper()
	g := p.shoot(t, shot{o: p.ops["tasks_list"], path: p.ops["tasks_list"].path, query: "?" + query})
	var page struct{ Results []map[string]any }
	if err := json.Unmarshal(g.raw, &page); err != nil {
		t.Fatalf("tasks: %v: %s", err, g.raw)
	}
	return page.Results
}

// furnish makes rows of all kinds and collects the hrefs of all that exist.
func (p *probe) furnish(t *testing.T) {
	t.Helper()
	for id := range p.ops {
		p.tried[id] = true // refusals have a test of their own, see Walk
	}
	artifact := p.visitArtifacts(t)
	remote := p.create(t, "remotes_"+file, nil)
	repo := p.create(t, "repositories_"+file, map[string]any{"remote": remote})
	p.visitContent(t, repo, artifact)
	p.artifact = artifact
	p.visitGroups(t)
	p.visitPublications(t, repo)
	made := []string{"artifacts", "content_file_files", "remotes_" + file, "repositories_" + file, "publications_" + file}
	for _, id := range slices.Sorted(maps.Keys(p.ops)) {
		prefix, ok := strings.CutSuffix(id, "_create")
		if !ok || slices.Contains(made, prefix) {
			continue
		}
		given := map[string]any{"artifacts": map[string]any{"a": artifact}}
		g := p.send(t, ask{op: id, body: p.fill(id, given, "repository", "artifact", "file_url")})
		switch g.status {
		case http.StatusCreated:
		case http.StatusAccepted:
			p.task(t, g)
		default:
			t.Errorf("%s: no row was made: %d: %s", id, g.status, g.raw)
		}
	}
	hrefs := regexp.MustCompile(`"(/pulp/api/v3/[^"]*/)"`)
	found := map[string]bool{}
	for id, o := range p.ops {
		if !strings.HasSuffix(id, "_list") || o.hasKey() {
			continue
		}
		for _, m := range hrefs.FindAllSubmatch(p.send(t, ask{op: id}).raw, -1) {
			found[string(m[1])] = true
		}
	}
	p.hrefs = slices.Sorted(maps.Keys(found))
}

// renew makes a task and a group of tasks that can be canceled.
func (p *probe) renew(t *testing.T) {
	t.Helper()
	together, err := p.Queue.NewGroup(t.Context(), "renewed")
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := nothing.Dispatch(t.Context(), p.Queue, struct{}{}, &tasking.DispatchOptions{Group: together})
	if err != nil {
		t.Fatal(err)
	}
	p.hrefs = append([]string{base + "tasks/" + ticket.TaskID.String() + "/", base + "task-groups/" + together.ID.String() + "/"},
		p.hrefs...)
}

// wildcards matches what stands for a key in a path of the document.
var wildcards = regexp.MustCompile(`\\\{[^}]*\\\}`)

// place returns the path of an operation for a row that exists, or false if there is none.
func (p *probe) place(o *operation) (string, bool) {
	if !o.hasKey() {
		return o.path, true
	}
	if !strings.HasPrefix(o.path, base) {
		return regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(o.path, "x"), true // a route of a plugin
	}
	end := strings.LastIndex(o.path, "}/") + len("}/")
	like := regexp.MustCompile("^" + wildcards.ReplaceAllString(regexp.QuoteMeta(o.path[:end]), `[^/]+`) + "$")
	matching := slices.DeleteFunc(slices.Clone(p.hrefs), func(href string) bool { return !like.MatchString(href) })
	if len(matching) == 0 {
		return "", false
	}
	// The first version of a repository cannot be deleted while it is the only one.
	later := slices.IndexFunc(matching, func(href string) bool { return !strings.HasSuffix(href, "/versions/0/") })
	return matching[max(later, 0)] + o.path[end:], true
}
