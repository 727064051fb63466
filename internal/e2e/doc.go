// Package e2e has the tests and benchmarks that drive whole programs: servers that are killed in the middle of a sync
// (Kill), servers that clients use while their database, Redis and processes come and go (Chaos), tasks in processes of
// their own, and syncs of many files. The test binary starts itself as these programs, see main_test.go.
package e2e
