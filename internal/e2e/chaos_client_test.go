package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

// chaosClient is a client that does at random what clients do, and believes nothing.
type chaosClient struct {
	*chaos
	random *rand.Rand
	http   *http.Client
}

func newChaosClient(c *chaos, seed uint64) *chaosClient {
	return &chaosClient{
		chaos: c, random: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // no secret
		http: &http.Client{Timeout: 30 * time.Second},
	}
}

type fields map[string]any

// run does one thing after the other until ctx is done.
func (c *chaosClient) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.one()
	}
}

const chaosAPI = "/pulp/api/v3/"

//nolint:cyclop // a list
func (c *chaosClient) one() {
	name := fmt.Sprintf("c%d", c.random.IntN(4))
	repo, remote, dist := c.find("repositories/file/file/", name), c.find("remotes/file/file/", name),
		c.find("distributions/file/file/", name)
	switch n := c.random.IntN(100); {
	case repo == "":
		c.do("POST", "repositories/file/file/", fields{"name": name})
	case remote == "":
		policy := []string{"immediate", "on_demand", "streamed"}[c.random.IntN(3)]
		c.do("POST", "remotes/file/file/", fields{
			"name": name, "url": c.upstream + "/PULP_MANIFEST", "policy": policy, "max_retries": 1,
		})
	case dist == "":
		c.do("POST", "distributions/file/file/", fields{"name": name, "base_path": name, "repository": repo})
	case n < 20:
		c.do("POST", repo+"sync/", fields{"remote": remote, "mirror": n < 14})
	case n < 30:
		c.do("POST", repo+"modify/", fields{"add_content_units": c.units(3), "remove_content_units": c.units(3)})
	case n < 40:
		c.do("POST", "publications/file/file/", fields{"repository": repo})
	case n < 45:
		c.upload(repo)
	case n < 52:
		c.do("DELETE", c.pick(repo+"versions/?limit=5&offset=1"), nil)
	case n < 55:
		c.do("DELETE", c.pick("publications/file/file/?limit=5"), nil)
	case n < 58:
		c.do("PATCH", repo, fields{"retain_repo_versions": 2 + c.random.IntN(4)})
	case n < 60:
		c.do("DELETE", []string{repo, remote, dist}[c.random.IntN(3)], nil)
	case n < 64:
		c.do("PATCH", c.pick("tasks/?limit=5"), fields{"state": "canceled"})
	default:
		c.read(name)
	}
}

// do sends a request to any server and returns its answer; one that cannot be had is no answer. Nothing that clients do
// makes an error of the server, but one in front of which the database is gone.
func (c *chaosClient) do(method, path string, body any) fields {
	if path == "" {
		return nil
	}
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Error(err)
		}
		sent = bytes.NewReader(text)
	}
	return c.send(method, path, "application/json", sent)
}

func (c *chaosClient) send(method, path, kind string, sent io.Reader) fields {
	if !strings.HasPrefix(path, "/") {
		path = chaosAPI + path
	}
	server := c.servers[c.random.IntN(len(c.servers))]
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+server.addr+path, sent)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	req.SetBasicAuth("admin", chaosPassword)
	if sent != nil {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil // killed
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil
	}
	c.count(fmt.Sprintf("%s %d", method, res.StatusCode))
	if res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
		c.t.Errorf("%s %s = %d: %.300s", method, path, res.StatusCode, text)
	}
	var answer fields
	if len(text) > 0 && res.StatusCode < 300 {
		if err := json.Unmarshal(text, &answer); err != nil {
			c.t.Errorf("%s %s = %d, no JSON: %.300s", method, path, res.StatusCode, text)
		}
	}
	if task, ok := answer["task"].(string); ok {
		c.mu.Lock()
		c.tasks = append(c.tasks, task)
		c.mu.Unlock()
	}
	return answer
}

func (c *chaosClient) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = map[string]int{}
	}
	c.done[what]++
}

func results(answer fields) (hrefs []string) {
	list, _ := answer["results"].([]any)
	for _, row := range list {
		if row, ok := row.(map[string]any); ok {
			href, _ := row["pulp_href"].(string)
			hrefs = append(hrefs, href)
		}
	}
	return hrefs
}

// find returns the address of the row with a name, "" if there is none.
func (c *chaosClient) find(list, name string) string {
	for _, href := range results(c.do("GET", list+"?name="+name, nil)) {
		return href
	}
	return ""
}

// pick returns the address of any row of a list, "" if it has none.
func (c *chaosClient) pick(list string) string {
	hrefs := results(c.do("GET", list, nil))
	if len(hrefs) == 0 {
		return ""
	}
	return hrefs[c.random.IntN(len(hrefs))]
}

func (c *chaosClient) units(n int) []string {
	hrefs := results(c.do("GET", "content/file/files/?limit=50", nil))
	c.random.Shuffle(len(hrefs), func(i, j int) { hrefs[i], hrefs[j] = hrefs[j], hrefs[i] })
	return append([]string{}, hrefs[:min(n, len(hrefs))]...)
}

// upload makes one of a few files in a repository.
func (c *chaosClient) upload(repo string) {
	path := fmt.Sprintf("up/%d.txt", c.random.IntN(20))
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("relative_path", path)
	_ = form.WriteField("repository", repo)
	if part, err := form.CreateFormFile("file", "f"); err == nil {
		_, _ = io.WriteString(part, uploaded(path))
	}
	_ = form.Close()
	c.send("POST", "content/file/files/", form.FormDataContentType(), &body)
}

func uploaded(path string) string { return strings.Repeat(path+"\n", 100) }

// read downloads some files of a distribution. One that arrives whole has the right bytes.
func (c *chaosClient) read(base string) {
	manifest, status := c.get(base + "/PULP_MANIFEST")
	if status != http.StatusOK {
		return
	}
	lines := strings.Split(strings.TrimSpace(manifest), "\n")
	for range min(5, len(lines)) {
		path, _, _ := strings.Cut(lines[c.random.IntN(len(lines))], ",")
		if path == "" {
			continue
		}
		body, status := c.get(base + "/" + path)
		if status != http.StatusOK {
			continue
		}
		c.count("GET file")
		if !c.right(path, body) {
			c.t.Errorf("%s/%s was served with other bytes: %.80q, %d bytes", base, path, body, len(body))
		}
	}
}

// right reports whether a file ever had these bytes.
func (c *chaosClient) right(path, body string) bool {
	if strings.HasPrefix(path, "up/") {
		return body == uploaded(path)
	}
	var i, generation int64
	if _, err := fmt.Sscanf(path, "dir/%d.txt", &i); err != nil {
		return false
	}
	if i%3 == 0 {
		if _, err := fmt.Sscanf(body, "%d of %d\n", new(int64), &generation); err != nil {
			return false
		}
	}
	return body == c.up.body(generation, i)
}

// get returns a body that arrived whole, and the status; 0 if there is none.
func (c *chaosClient) get(path string) (string, int) {
	server := c.servers[c.random.IntN(len(c.servers))]
	res, err := c.http.Get("http://" + server.addr + "/pulp/content/" + path) //nolint:noctx // the client has a time limit
	if err != nil {
		return "", 0
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", 0
	}
	if res.StatusCode == http.StatusInternalServerError {
		c.t.Errorf("GET %s = 500: %.300s", path, body)
	}
	c.count(fmt.Sprintf("GET content %d", res.StatusCode))
	return string(body), res.StatusCode
}

// chaosPatience is how long nothing may move: dead workers are noticed, leases run out, retries have their pauses.
const chaosPatience = 2 * time.Minute

// settle waits until no task is unfinished, and asserts that none that was accepted got lost.
func (c *chaosClient) settle() {
	deadline, left := time.Now().Add(chaosPatience), 0.0
	for tick := time.Tick(200 * time.Millisecond); ; <-tick {
		answer := c.do("GET", "tasks/?state__in=waiting,running,canceling&limit=1", nil)
		n, ok := answer["count"].(float64)
		if ok && n == 0 {
			break
		}
		if ok && n != left {
			deadline, left = time.Now().Add(chaosPatience), n
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("tasks do not end: %v", answer)
		}
	}
	for _, href := range c.tasks {
		err := errors.New("no answer")
		for range 3 {
			if answer := c.do("GET", href, nil); answer != nil {
				state, _ := answer["state"].(string)
				if err = nil; state != "completed" && state != "failed" && state != "canceled" && state != "skipped" {
					err = fmt.Errorf("it is %v", answer["state"])
				}
				break
			}
		}
		if err != nil {
			c.t.Errorf("task %s was accepted: %v", href, err)
		}
	}
}
