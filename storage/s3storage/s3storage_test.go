package s3storage_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/s3storage"
)

func Example() {
	ctx := context.Background()
	os.Setenv("AWS_ACCESS_KEY_ID", "id") // usually the environment has them already
	os.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	store, err := storage.Open(ctx, "s3://media?region=eu-west-1",
		&storage.Options{BeforeSign: s3storage.BeforeSign})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	key := storage.ArtifactKey(strings.Repeat("0", 64))
	signed, err := store.SignedURL(ctx, key, &storage.SignOptions{Filename: "bear.rpm"})
	if err != nil {
		log.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Host, u.Query().Get("response-content-disposition"))
	// Output: media.s3.eu-west-1.amazonaws.com attachment; filename=bear.rpm
}

func TestBeforeSign(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		give                 storage.SignOptions
		disposition, content string
	}{
		"nothing":      {},
		"a plain name": {storage.SignOptions{Filename: "a.txt"}, "attachment; filename=a.txt", ""},
		"a name with spaces and quotes": {
			storage.SignOptions{Filename: `a "b".txt`}, `attachment; filename="a \"b\".txt"`, "",
		},
		"a name that is not ASCII": {
			storage.SignOptions{Filename: "ä.txt"}, "attachment; filename*=utf-8''%C3%A4.txt", "",
		},
		"a line break":   {storage.SignOptions{Filename: "a\r\nb"}, "attachment; filename*=utf-8''a%0D%0Ab", ""},
		"a content type": {storage.SignOptions{ContentType: "text/plain"}, "", "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var in s3.GetObjectInput
			as := func(i any) bool {
				p, ok := i.(**s3.GetObjectInput)
				if ok {
					*p = &in
				}
				return ok
			}
			if err := s3storage.BeforeSign(as, tt.give); err != nil {
				t.Fatal(err)
			}
			if got := text(in.ResponseContentDisposition); got != tt.disposition {
				t.Errorf("disposition = %q, want %q", got, tt.disposition)
			}
			if got := text(in.ResponseContentType); got != tt.content {
				t.Errorf("content type = %q, want %q", got, tt.content)
			}
		})
	}
	if err := s3storage.BeforeSign(func(any) bool { return false }, storage.SignOptions{Filename: "x"}); err != nil {
		t.Errorf("BeforeSign of a PUT = %v", err)
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
