package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "media")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := storage.Open(ctx, "file://"+dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	// What was promised is checked before anything is stored.
	promise := &hashlib.Expect{Size: hashlib.Size(6)}
	_, err = store.PutArtifact(ctx, strings.NewReader("hello"), promise)
	fmt.Println(errors.Is(err, pulperr.Invalid), pulperr.Message(err))

	o, err := store.PutArtifact(ctx, strings.NewReader("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(o.Key, o.Size)

	r, err := store.OpenRange(ctx, o.Key, 1, 3)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", b, err)
	// Output:
	// true size is 5 bytes, expected 6
	// artifact/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 5
	// ell <nil>
}

// A temporary file becomes an artifact without its bytes being read again.
func ExampleStore_Promote() {
	ctx := context.Background()
	store, err := storage.Open(ctx, "mem://", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	temp, err := store.PutTemp(ctx, uuid.New(), strings.NewReader("uploaded"), nil)
	if err != nil {
		log.Fatal(err)
	}
	artifact, err := store.Promote(ctx, temp)
	if err != nil {
		log.Fatal(err) // the temporary file is still there
	}
	// … commit the row of the artifact, and then:
	fmt.Println(artifact.Size, store.Delete(ctx, temp.Key))
	// Output: 8 <nil>
}

// A download that starts anew resets its writer instead of the store.
func ExampleWriter_Reset() {
	ctx := context.Background()
	store, err := storage.Open(ctx, "mem://", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	w, err := store.NewArtifactWriter(ctx, &hashlib.Expect{Size: hashlib.Size(5)})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = w.Abort() }()
	for _, body := range []string{"<html>not here</html>", "hello"} {
		if _, err := io.Copy(w, strings.NewReader(body)); err != nil {
			fmt.Println(pulperr.Message(err))
			if err := w.Reset(); err != nil {
				log.Fatal(err)
			}
		}
	}
	o, err := w.Commit()
	fmt.Println(o.Size, err)
	// Output:
	// size is 21 bytes, expected 5
	// 5 <nil>
}
