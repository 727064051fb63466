package storage

// Usage is how full the file system of a local folder is, in bytes.
type Usage struct {
	Total, Used int64
	Free        int64 // for this user; Total - Used may be more
}
