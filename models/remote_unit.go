package models

import (
	"context"

	"github.com/pulpgo/pulpcore/download"
)

// RemoteUnit is implemented by types of content whose files are fetched together, because they can be verified only
// together or by what is in them. A sync fetches the files of such a unit by it, unless they are deferred, and so does
// the content app when a client asks for a file that was deferred, or for a unit that no sync has brought, see
// content.PullThrough. The policy streamed is the same as on_demand for them.
type RemoteUnit interface {
	AnyContent

	// FetchUnit fetches all files of the unit, verifies them, and sets the fields that are known by their bytes. Nothing
	// of the unit is served or saved before it has returned. The content app calls it once for all requests that come at
	// the same time, and does not cancel it when their clients leave.
	//
	// A unit that is saved already, which its key shows, was left at the remote by a sync, or came from elsewhere. Its
	// fields are what the database has, and changes of them are for FetchUnit to save. A file that it has keeps its bytes,
	// and other bytes are refused when FetchUnit has returned.
	//
	// Errors: NotFound if the remote has no such unit, which a client gets as 404; Invalid for bytes that must not be
	// served, which a client gets as 502. Each makes a sync fail.
	FetchUnit(ctx context.Context, p *Pull) ([]PulledFile, error)
}

// Pull is what a [RemoteUnit] has to fetch with.
type Pull struct {
	DB     *DB // bound to the domain of the unit
	Remote AnyRemote
	Dir    string // a directory with mode 0700, removed with everything in it afterwards

	// Fetch downloads from the remote into a new file of the directory, within the limits of the remote and of the
	// process.
	//
	// Errors: those of [download.Client.Fetch]; Unavailable if there was no place for a fetch in time.
	Fetch func(ctx context.Context, req *download.Request) (*download.Result, error)
}

// PulledFile is a file of a unit that was fetched.
type PulledFile struct {
	RelativePath string // within the unit
	Path         string // of the bytes, a file in the directory of the [Pull]
	URL          string // where the bytes can be fetched again if the store loses them; empty for nowhere
}
