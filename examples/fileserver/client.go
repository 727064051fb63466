package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// client speaks to the REST API as any Pulp client does.
type client struct {
	base               string // "http://host:port"
	username, password string
	http               *http.Client
}

// object is a resource as the API shows it.
type object map[string]any

func (o object) text(key string) string {
	s, _ := o[key].(string)
	return s
}

// call sends a request and decodes the answer. The path may be an href or relative to the API's root.
func (c *client) call(ctx context.Context, method, path string, body any) (object, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	if path == "" {
		return nil, fmt.Errorf("%s: an answer has no href to go on with", method)
	}
	if path[0] != '/' {
		path = "/pulp/api/v3/" + path
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, payload)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.username, c.password)
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	// The bound keeps a wrong server from filling the memory.
	raw, err := io.ReadAll(io.LimitReader(res.Body, 10<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, res.Status, raw)
	}
	var o object
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &o)
	}
	return o, err
}

// pollInterval is how often a task's progress is asked for.
const pollInterval = 200 * time.Millisecond

// run starts an asynchronous call, shows its progress, and returns the finished task.
func (c *client) run(ctx context.Context, method, path string, body any, show func(object)) (object, error) {
	started, err := c.call(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	// Polling is what clients of any Pulp can do. This API also has a stream of events at tasks/events/.
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		task, err := c.call(ctx, http.MethodGet, started.text("task"), nil)
		if err != nil {
			return nil, err
		}
		if show != nil {
			show(task)
		}
		switch task.text("state") {
		case "completed":
			return task, nil
		case "failed", "canceled":
			return nil, fmt.Errorf("task %s %s: %v", task.text("name"), task.text("state"), task["error"])
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// created returns the href of what a task made last.
func created(task object) string {
	list, _ := task["created_resources"].([]any)
	if len(list) == 0 {
		return ""
	}
	href, _ := list[len(list)-1].(string)
	return href
}
