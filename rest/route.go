package rest

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/pulpgo/pulpcore/internal/formfiles"
)

// operation is something the API does: a route and an entry of the document at once.
type operation struct {
	method    string
	path      string // below the base; {pulp_id} and {number} stand for keys
	entity    string // parameter that stands for the path up to the last key in the document for clients
	id        string // operationId
	tag       string
	summary   string
	params    []*param
	columns   []string // of ordering=; nil is none
	paged     bool
	fields    bool   // takes fields= and exclude_fields=
	body      string // schema of the body; "" is none
	file      bool   // the body can carry a file
	answer    string // schema of the answer
	status    []int  // default 200
	minimal   bool   // takes minimal=
	noParams  bool
	anonymous bool
	stream    bool // answers with server-sent events
	handle    handler
}

// with returns a copy of o for another method.
func (o operation) with(method, id, summary string, h handler) *operation {
	o.method, o.id, o.summary, o.handle = method, id, summary, h
	return &o
}

func (o *operation) lists(params []*param, columns []string) *operation {
	o.params, o.columns, o.paged = params, columns, true
	return o
}

func (o *operation) sparse() *operation {
	o.fields = true
	return o
}

func (o *operation) takes(schema string) *operation {
	o.body = schema
	return o
}

func (o *operation) takesFile(schema string) *operation {
	o.body, o.file = schema, true
	return o
}

func (o *operation) answers(status ...int) *operation {
	o.status = status
	return o
}

// accepts makes 202 with a task the answer.
func (o *operation) accepts() *operation { return o.answers(http.StatusAccepted) }

func (a *API) add(o *operation) { a.ops = append(a.ops, o) }

// addViews adds the operations of all viewsets.
func (a *API) addViews() {
	versionParams := a.versionListParams()
	for _, v := range a.views {
		a.schemas.addView(v)
		o := operation{path: v.path, tag: v.tag, answer: v.model + "Response"}
		a.add(o.with("GET", v.op+"_list", "List "+v.summary, v.handleList).
			lists(v.params, v.shape.orderColumns()))
		if v.create != nil {
			create := o.with("POST", v.op+"_create", "Create "+v.summary, v.create.run)
			create.body, create.file = v.model, v.create.files
			create.status = []int{http.StatusCreated}
			if v.create.async {
				create.status = []int{http.StatusAccepted}
			}
			a.add(create)
		}
		o.path, o.entity = v.path+"{pulp_id}/", v.hrefParam
		a.add(o.with("GET", v.op+"_read", "Inspect "+v.summary, v.handleRead).sparse())
		a.addChanges(v, o)
		for _, act := range v.actions {
			a.addAction(v, o, act)
		}
		if hasLabels(v.master) {
			label := o
			label.answer = "SetLabelResponse"
			label.path += "set_label/"
			a.add(label.with("POST", v.op+"_set_label", "Set a label", v.handleSetLabel).
				takes("SetLabel").answers(http.StatusCreated))
			label.path, label.answer = o.path+"unset_label/", "UnsetLabelResponse"
			a.add(label.with("POST", v.op+"_unset_label", "Unset a label", v.handleUnsetLabel).
				takes("UnsetLabel").answers(http.StatusCreated))
		}
		if v.isRepository() {
			a.addVersions(v, o, versionParams)
		}
	}
}

// addChanges adds update and delete as far as a master has them.
func (a *API) addChanges(v *view, o operation) {
	if v.isContent() {
		return
	}
	if !v.isPublication() {
		a.add(o.with("PUT", v.op+"_update", "Update "+v.summary, v.handleUpdate(replacing)).
			takes(v.model).answers(v.updateStatus()...))
		a.add(o.with("PATCH", v.op+"_partial_update", "Update "+v.summary, v.handleUpdate(patching)).
			takes("Patched" + v.model).answers(v.updateStatus()...))
	}
	del := o.with("DELETE", v.op+"_delete", "Delete "+v.summary, v.handleDelete).answers(http.StatusAccepted)
	if v.isPublication() || v.isGuard() {
		del.status = []int{http.StatusNoContent}
	}
	a.add(del)
}

func (v *view) updateStatus() []int {
	if v.isGuard() {
		return []int{http.StatusOK}
	}
	return []int{http.StatusOK, http.StatusAccepted}
}

func (a *API) addAction(v *view, o operation, act *action) {
	o.path += act.name + "/"
	o.answer = act.answer
	post := o.with("POST", v.op+"_"+strings.ReplaceAll(act.name, "-", "_"), act.summary, act.run)
	a.schemas.addAction(act)
	if act.input != nil {
		post.takes(act.input.model)
	}
	if act.async {
		post.accepts()
	}
	a.add(post)
}

func (a *API) addVersions(v *view, o operation, params []*param) {
	modify := o
	modify.path += "modify/"
	a.add(modify.with("POST", v.op+"_modify", "Modify repository content", v.handleModify).
		takes("RepositoryAddRemoveContent").accepts())
	list := o
	list.path += "versions/"
	list.answer, list.tag = "RepositoryVersionResponse", v.tag+" Versions"
	a.add(list.with("GET", v.op+"_versions_list", "List repository versions", v.handleVersions(params)).
		lists(params, versionColumns()))
	one := list
	one.path, one.entity = v.path+"{pulp_id}/versions/{number}/", strings.TrimSuffix(v.hrefParam, "href")+"version_href"
	a.add(one.with("GET", v.op+"_versions_read", "Inspect a repository version", v.handleVersion).sparse())
	a.add(one.with("DELETE", v.op+"_versions_delete", "Delete a repository version", v.handleDeleteVersion).accepts())
}

// addCore adds the operations that belong to no plugin.
func (a *API) addCore() {
	a.schemas.addCore()
	a.addArtifacts()
	a.addGenericLists()
	params := a.versionListParams()
	a.add((operation{path: "repository_versions/", tag: "Repository_Versions", answer: "RepositoryVersionResponse"}).
		with("GET", "repository_versions_list", "List repository versions", a.handleAllVersions(params)).
		lists(params, versionColumns()))
	a.addStatus()
	a.addTasks()
	a.addTaskEvents()
	a.addTaskGroups()
	a.addSchedules()
	a.addWorkers()
}

// route makes the router. Every path has one handler that knows its methods, so that any other gets 405 with them.
func (a *API) route(c *compiler, parts []Part) {
	a.router = chi.NewRouter()
	a.router.Use(formfiles.Handler) // for authenticators that look into forms
	c.plugin = ""
	byPath := map[string]map[string]*operation{}
	for _, o := range a.ops {
		p := a.base + o.path
		if byPath[p] == nil {
			byPath[p] = map[string]*operation{}
		}
		if byPath[p][o.method] != nil {
			c.fault("%s %s is served twice; rename one of the views or actions", o.method, p)
		}
		byPath[p][o.method] = o
	}
	for _, p := range slices.Sorted(maps.Keys(byPath)) {
		a.router.HandleFunc(p, a.serve(byPath[p]))
	}
	docs := a.base + "docs/api.json"
	a.router.HandleFunc(docs, func(w http.ResponseWriter, r *http.Request) { a.docs.serve(w, r) })
	a.router.HandleFunc(a.base, a.serve(map[string]*operation{"GET": {anonymous: true, handle: a.handleRoot}}))
	taken := append(slices.Sorted(maps.Keys(byPath)), docs)
	for _, p := range parts {
		c.plugin = p.Plugin
		for _, rt := range p.Routes {
			a.mountRoute(c, rt, taken)
			taken = append(taken, rt.Path)
		}
	}
	a.router.NotFound(a.notFound)
}

// mountRoute adds a handler of a plugin, unless its path is taken.
func (a *API) mountRoute(c *compiler, rt Route, taken []string) {
	before := len(c.faults)
	if rt.Allow > Anybody {
		c.fault("route %q: access %d is not known; use Superusers, Accounts or Anybody", rt.Path, rt.Allow)
	}
	if rt.Handler == nil {
		c.fault("route %q: there is no handler; set Handler", rt.Path)
	}
	if fault := pathFault(rt.Path); fault != "" {
		c.fault("route %q: %s", rt.Path, fault)
	}
	if len(c.faults) > before {
		return
	}
	for _, other := range taken {
		above := strings.HasSuffix(rt.Path, "/") && strings.HasPrefix(other, rt.Path)
		below := strings.HasPrefix(rt.Path, other) && strings.HasSuffix(other, "/")
		if above || below || rt.Path == other {
			c.fault("route %q clashes with %q; choose another path", rt.Path, other)
			return
		}
	}
	inner := formfiles.Handler(rt.Handler)
	h := func(w http.ResponseWriter, r *http.Request) {
		r, err := a.admit(r, rt.Allow)
		if err != nil {
			a.writeError(w, r, err)
			return
		}
		inner.ServeHTTP(w, r)
	}
	a.router.HandleFunc(rt.Path, h)
	if strings.HasSuffix(rt.Path, "/") {
		a.router.HandleFunc(rt.Path+"*", h)
	}
}

// pathFault returns what is wrong with the path of a route and what to do about it, or "".
func pathFault(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	if i := strings.IndexAny(p, "{}*"); i >= 0 {
		return fmt.Sprintf("a path is no pattern, so %q has no meaning in it; write %q, and the handler gets all paths below",
			p[i:i+1], strings.TrimSuffix(path.Dir("/"+p[:i]+"x"), "/")+"/")
	}
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		return fmt.Sprintf("a path has no %q; let the handler read the query", p[i:i+1])
	}
	switch {
	case clean == "/":
		return "everything lies below it; choose a path of the plugin's own"
	case p != clean:
		return fmt.Sprintf("the path is not in canonical form; write %q", clean)
	}
	return ""
}

// admit finds out who asks, unless anybody may, and refuses those who may not. The request returned knows the account.
func (a *API) admit(r *http.Request, allow Access) (*http.Request, error) {
	if allow == Anybody {
		return r, nil
	}
	user, known, err := a.identify(r)
	if err != nil {
		return r, err
	}
	if allow == Accounts {
		return known, nil
	}
	return known, permit(user)
}

// serve returns the handler of one path.
func (a *API) serve(ops map[string]*operation) http.HandlerFunc {
	allowed := slices.Sorted(maps.Keys(ops))
	if ops["GET"] != nil {
		allowed = append(allowed, "HEAD")
	}
	allow := strings.Join(append(allowed, "OPTIONS"), ", ")
	openToAll := true // whether the path tells anybody which methods it has
	for _, o := range ops {
		openToAll = openToAll && o.anonymous
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		c := &call{api: a, w: w, r: r, db: a.db}
		o := ops[method]
		if !openToAll && (o == nil || !o.anonymous) {
			if err := c.enter(); err != nil {
				a.writeError(w, r, err)
				return
			}
		}
		switch {
		case r.Method == http.MethodOptions:
			w.WriteHeader(http.StatusNoContent)
			return
		case o == nil:
			a.writeError(w, r, refuse(http.StatusMethodNotAllowed, fmt.Sprintf("Method \"%s\" not allowed.",
				strings.ToValidUTF8(r.Method, "�"))))
			return
		}
		if err := c.readFields(); err != nil {
			a.writeError(w, c.r, err)
			return
		}
		if err := o.handle(c.r.Context(), c); err != nil {
			a.writeError(w, c.r, err)
		}
	}
}

// enter finds out who asks and whether they may, before anything else is said.
func (c *call) enter() (err error) {
	if c.user, c.r, err = c.api.identify(c.r); err != nil {
		return err
	}
	return permit(c.user)
}

// notFound answers for paths that are not served: with a redirect if only the last slash is missing.
func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/") && a.router.Match(chi.NewRouteContext(), r.Method, r.URL.Path+"/") {
		u := *r.URL
		u.Path += "/"
		u.RawPath = ""
		w.Header().Set("Location", u.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("<!doctype html>\n<html lang=\"en\">\n<head><title>Not Found</title></head>\n" +
		"<body><h1>Not Found</h1><p>The requested resource was not found on this server.</p></body>\n</html>\n"))
}
