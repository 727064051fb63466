package pulptest

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// Outcome is what came of the tasks that a request has started.
type Outcome struct {
	// Tasks are the one task, or all tasks of the group, the oldest first.
	Tasks []*models.Task
	// Created are the hrefs of what they made, task by task, each in the order in which it was made. Resources without a
	// view are left out.
	Created []string

	t       testing.TB
	request string // that started them
}

// Resource returns the href of the one resource that was made, and ends the test if there is none or more than one.
func (o *Outcome) Resource() string {
	o.t.Helper()
	if len(o.Created) != 1 {
		o.t.Fatalf("%s made the resources %q, want one", o.request, o.Created)
	}
	return o.Created[0]
}

// Await follows the answer to a request that has started a task or a task group, until all its tasks have ended. It
// executes all tasks that are waiting, or waits for the worker of [App.Start]. The test ends if the status is not 202
// or if a task does not complete.
func (a *App) Await(t testing.TB, res *Response) *Outcome {
	t.Helper()
	o, err := a.TryAwait(t, res)
	if err != nil {
		t.Fatalf("%s: %v", res.request, err)
	}
	return o
}

// TryAwait is [App.Await] for tasks that may fail: their failures are the error, in the words that a client sees.
func (a *App) TryAwait(t testing.TB, res *Response) (*Outcome, error) {
	t.Helper()
	var accepted struct {
		Task  string `json:"task"`
		Group string `json:"task_group"`
	}
	res.Want(http.StatusAccepted).JSON(&accepted)
	var err error
	o := &Outcome{t: t, request: res.request}
	if accepted.Group != "" {
		o.Tasks, err = a.runner.finishGroup(t.Context(), accepted.Group)
	} else {
		o.Tasks, err = a.runner.finishHref(t.Context(), accepted.Task)
	}
	if err != nil {
		t.Fatalf("%s: %v", res.request, err)
	}
	var failures []error
	for _, task := range o.Tasks {
		failures = append(failures, failureOf(task))
		o.Created = append(o.Created, a.createdBy(t, task)...)
	}
	return o, errors.Join(failures...)
}

// createdBy returns the hrefs of what a task made, which only the API knows.
func (a *App) createdBy(t testing.TB, task *models.Task) (hrefs []string) {
	t.Helper()
	var shown struct {
		Created []*string `json:"created_resources"` // null without a view
	}
	at := path.Join(a.Settings().Core().APIRoot, "api/v3/tasks", task.ID.String()) + "/"
	a.Do(t, http.MethodGet, at).Want(http.StatusOK).JSON(&shown)
	for _, href := range shown.Created {
		if href != nil {
			hrefs = append(hrefs, *href)
		}
	}
	return hrefs
}

// Settle returns when all tasks have ended and all files that were fetched on demand are stored. It executes the tasks,
// or waits for the worker of [App.Start]. A client has a file that is fetched on demand before it is stored: a test
// that looks at the database or the store afterwards calls Settle first.
//
// A task that waits for another attempt is waited for if there is a worker; else the test ends.
func (a *App) Settle(t testing.TB) {
	t.Helper()
	if err := a.runner.settle(t.Context()); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

// failureOf returns why a task did not complete, in the words that a client sees; nil if it did.
func failureOf(task *models.Task) error {
	switch {
	case task.State == models.Completed:
		return nil
	case task.Error != nil:
		return errors.New(task.Error.Description + task.Error.Reason)
	}
	return fmt.Errorf("the task %s is %s", task.Name, task.State)
}
