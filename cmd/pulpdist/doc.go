// Command pulpdist makes a server from a list of plugins. It takes the place of Pulp's installer.
//
//	pulpdist init plugin NAME [--module PATH] [--out DIR] [--pulpcore DIR]
//	pulpdist build FILE [--dry-run] [--out DIR] [--no-prerequisites] [--timeout DURATION]
//
// init makes the module of a new plugin, with a type, a remote, a sync, views, a guard, a setting, tests and CI.
// Without DIR of --pulpcore it takes a released version of the library. NAME is made of a-z and 0-9.
//
// FILE is described at docs/distribution.md; examples/customdist/dist.yaml is one. The folder DIR, by default one named
// like the distribution in the folder of FILE, must not exist. It gets:
//
//	src/main.go, src/go.mod, src/settings.yaml   the program, which "go build" in src makes again
//	NAME                                         the binary
//	nginx.conf, apache.conf                      configurations of reverse proxies, as "NAME proxy nginx" prints them
//	NAME-api.service, …                          units of systemd: API, content app, workers
//	Containerfile                                an image with the binary
//	install.sh                                   installs all of it on this or another host; may be run again
//
// A build works in a temporary folder beside DIR and renames it at the end, so DIR is complete or does not exist. What
// custom steps and package managers have changed elsewhere is not taken back.
package main
