package file_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/pulperr"
)

func ExampleReadManifest() {
	const manifest = `a b.txt,ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad,3
commas, and "quotes".txt,e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855,0
../../etc/passwd,e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855,0
`
	for e, err := range file.ReadManifest(strings.NewReader(manifest)) {
		if err != nil {
			fmt.Println(pulperr.Message(err))
			return
		}
		fmt.Printf("%s: %d bytes\n", e.Path, e.Size)
	}
	// Output:
	// a b.txt: 3 bytes
	// commas, and "quotes".txt: 0 bytes
	// manifest line 3: "../../etc/passwd" is not a canonical relative path
}

func ExampleWriteEntry() {
	err := file.WriteEntry(os.Stdout, file.Entry{
		Path: "a,b.txt", SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Size: 3,
	})
	fmt.Println(err)
	// Output:
	// a,b.txt,ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad,3
	// <nil>
}
