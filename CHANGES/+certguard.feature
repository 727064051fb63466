Added the plugin `certguard` with the content guard `contentguards/certguard/x509/`, which asks for a client certificate in
`X-CLIENT-CERT`. Only trusted proxies can send that header; it is removed from requests of others.
