`pulpdist build` makes a server from a list of plugins: a binary, units of systemd, configurations of nginx and Apache, a Containerfile and an install script. See docs/distribution.md.
