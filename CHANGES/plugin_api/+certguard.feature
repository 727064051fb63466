`webserver.ClientCertificateOf` returns the client certificate that a trusted proxy has sent in `X-CLIENT-CERT`. `webserver.Proxies`
removes that header, so handlers do not see it any more.
