package main

import (
	"io"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// writeProxyConfig writes the configuration of a reverse proxy that listens on port 80, for all names. A host with TLS
// sets [proxyconf.Options] here.
func writeProxyConfig(out io.Writer, args []string) error {
	if len(args) != 1 || args[0] != string(proxyconf.Nginx) && args[0] != string(proxyconf.Apache) {
		return errUsage
	}
	set, err := load()
	if err != nil {
		return err
	}
	conf, err := pulpcore.ProxyConfig(set, nil, file.Plugin())
	if err != nil {
		return err
	}
	return conf.Write(out, proxyconf.Server(args[0]))
}
