`pulpcmd.Program` is the command line of a server with the plugins of a host: all roles, migrations and administration. `pulpcmd/s3` lets it keep artifacts in S3.
