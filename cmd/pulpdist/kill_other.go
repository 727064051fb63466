//go:build !unix

package main

import "os/exec"

// killWithChildren leaves the command as it is: only the process itself is killed here.
func killWithChildren(*exec.Cmd) {}
