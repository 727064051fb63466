//go:build !unix

package storage_test

func child() {}
