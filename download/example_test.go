package download_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func Example() {
	mirror := httptest.NewServer(http.FileServerFS(os.DirFS("testdata")))
	defer mirror.Close()

	client, err := download.New(&download.Config{Concurrency: 4, SockReadTimeout: 20 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	res, err := client.Fetch(ctx, dir, &download.Request{
		URL: mirror.URL + "/hello.txt",
		Expect: &hashlib.Expect{
			Digests: hashlib.SHA256Hex("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"),
			Size:    hashlib.Size(6),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	b, err := os.ReadFile(res.Path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q, %d bytes\n", b, res.Size)

	_, err = client.Fetch(ctx, dir, &download.Request{URL: mirror.URL + "/missing"})
	fmt.Println("not found:", errors.Is(err, pulperr.NotFound))
	// Output:
	// "hello\n", 6 bytes
	// not found: true
}

// A client that streams to a reader who cannot forget uses Once.
func ExampleOnce() {
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "changed on the mirror")
	}))
	defer mirror.Close()
	client, err := download.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var reader strings.Builder
	_, err = client.Stream(context.Background(), &download.Request{
		URL:    mirror.URL,
		Expect: &hashlib.Expect{Digests: hashlib.SHA256Hex(strings.Repeat("0", 64))},
	}, download.Once(&reader))
	fmt.Printf("reader has %q; invalid: %v\n", reader.String(), errors.Is(err, pulperr.Invalid))
	// Output: reader has ""; invalid: true
}
