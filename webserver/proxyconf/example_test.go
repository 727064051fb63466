package proxyconf_test

import (
	"fmt"
	"os"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// A host writes the configuration of its proxy. One of its plugins has routes outside of the API's root, and wants a
// header at one of its paths.
func Example() {
	galaxy := &pulpcore.Plugin{
		Name: "ansible", Version: "1.0.0",
		API:     []rest.Route{{Pattern: "/pulp_ansible/galaxy/", Handler: page}},
		Content: []content.Route{{Pattern: "GET /pulp/container/{name}/blobs/{digest}", Handler: page}},
		ProxyOverrides: []proxyconf.Override{
			{Pattern: "/pulp_ansible/galaxy/foo_route/", Headers: map[string]string{"FOO": "asdf"}},
		},
	}
	set, err := settings.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	conf, err := pulpcore.ProxyConfig(set, nil, file.Plugin(), galaxy)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Write would print the whole of it, with ports, certificates and logs.
	if err := conf.WriteSnippet(os.Stdout, proxyconf.Apache); err != nil {
		fmt.Println(err)
	}
	// Output:
	// # The apps need these settings, or they take the proxy for the client:
	// #   TRUSTED_PROXIES = ["127.0.0.1"], or the address of the proxy as the apps see it
	// #   ALLOWED_HOSTS   = the names by which clients reach the proxy
	// # The virtual host needs the modules headers, proxy, proxy_http and reqtimeout.
	//
	// AllowEncodedSlashes NoDecode
	// RequestReadTimeout header=30 body=30,MinRate=136
	// <Proxy "http://127.0.0.1:24817">
	//     ProxySet connectiontimeout=5 timeout=600 retry=0 ttl=60
	// </Proxy>
	// <ProxyMatch "^(?:unix:[^|]*\|)?http://127\.0\.0\.1:24817(?:/|\z)">
	//     LimitRequestBody 0
	//     ProxyPreserveHost On
	//     RequestHeader unset X-Forwarded-For
	//     RequestHeader unset X-Forwarded-Host
	//     RequestHeader unset X-CLIENT-CERT
	//     RequestHeader unset Foo
	//     RequestHeader unset Forwarded
	//     RequestHeader unset Remote-User
	//     RequestHeader unset X-Forwarded-Port
	//     RequestHeader unset X-Forwarded-Server
	//     RequestHeader unset X-Real-Ip
	//     RequestHeader unset X-Remote-User
	//     RequestHeader set X-Forwarded-Proto "expr=%{REQUEST_SCHEME}"
	//     <IfModule ssl_module>
	//         RequestHeader set X-CLIENT-CERT "expr=%{escape:%{SSL_CLIENT_CERT}}" "expr=-n %{SSL_CLIENT_CERT}"
	//     </IfModule>
	// </ProxyMatch>
	// <LocationMatch "^/pulp_ansible/galaxy/foo_route(?:/|\z)">
	//     RequestHeader set Foo "asdf"
	// </LocationMatch>
	//
	// ProxyPassMatch "^/pulp/container(?:/|\z|\?)" "http://127.0.0.1:24817" nocanon
	// ProxyPassMatch "^/pulp/content(?:/|\z|\?)" "http://127.0.0.1:24817" nocanon
	// ProxyPassMatch "^/pulp(?:/|\z|\?)" "http://127.0.0.1:24817" nocanon
	// ProxyPassMatch "^/pulp_ansible/galaxy/foo_route(?:/|\z|\?)" "http://127.0.0.1:24817" nocanon
	// ProxyPassMatch "^/pulp_ansible/galaxy(?:/|\z|\?)" "http://127.0.0.1:24817" nocanon
}
