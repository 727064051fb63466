package tasking_test

// runChild makes this test binary a worker process that a test can kill.
func runChild() bool { return false }
