package guide_test

import (
	"fmt"
	"net/http"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
)

// countRoute is GET /note/count/{title}, beside the REST API.
func countRoute() rest.Route {
	return rest.Route{
		Pattern: "GET /note/count/{title}",
		Allow:   rest.Accounts, // by default whom the Authorizer permits; rest.Anybody needs no account
		Summary: "Count the notes of a title",
		Mount: func(api *rest.API) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err := Notes.Count(r.Context(), api.DB(), models.Eq("title", r.PathValue("title")))
				if err != nil {
					api.WriteError(w, r, err) // in the form and with the status of the API's other errors
					return
				}
				fmt.Fprintln(w, n)
			})
		},
	}
}

func Example_route() {
	app := open(Plugin())
	defer app.close()
	app.send("POST", "/pulp/api/v3/content/note/notes/", `{"title": "milk"}`)
	fmt.Print(app.send("GET", "/note/count/milk", "").Body)
	// Output: 1
}

// latestRoute is GET /note/latest/{base_path...}, beside the content app.
func latestRoute() content.Route {
	return content.Route{Pattern: "GET /note/latest/{base_path...}", Mount: func(app *content.App) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Finds the distribution and asks its guard: a route that leaves this out serves to everybody.
			served, err := app.Guarded(r, r.PathValue("base_path"))
			if err != nil {
				app.WriteError(w, r, err)
				return
			}
			source, err := served.Source(r.Context())
			if err != nil {
				app.WriteError(w, r, err)
				return
			}
			fmt.Fprintln(w, served.Distribution.AsDistribution().Name, "serves", source != nil)
		})
	}}
}

func Example_contentRoute() {
	app := open(Plugin())
	defer app.close()
	repository := app.send("POST", "/pulp/api/v3/repositories/note/note/", `{"name": "list"}`)
	app.send("POST", "/pulp/api/v3/distributions/note/note/",
		`{"name": "shopping", "base_path": "list", "repository": "`+field(repository, "pulp_href")+`"}`)
	fmt.Print(app.send("GET", "/note/latest/list", "").Body)
	fmt.Println(app.send("GET", "/note/latest/other", "").Code)
	// Output:
	// shopping serves true
	// 404
}
