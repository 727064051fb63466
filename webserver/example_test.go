package webserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pulpgo/pulpcore/webserver"
)

// A server of a host's own, whose pages only another origin that the host trusts may change.
func Example() {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Method) })
	origins, err := webserver.TrustOrigins("https://console.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	limits := &webserver.Limits{BodyTimeout: 10 * time.Second}
	srv := limits.Server(origins.Handler(page)) // to be used with srv.Serve

	for _, origin := range []string{"https://console.example.com", "https://evil.example"} {
		r := httptest.NewRequest(http.MethodPost, "https://pulp.example.com/", http.NoBody)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		srv.Handler.ServeHTTP(w, r)
		fmt.Println(origin, w.Code)
	}
	// Output:
	// https://console.example.com 200
	// https://evil.example 403
}
