`rest.Options.Authorizer`, and `pulpcore.Options.Authenticator` and `Authorizer`, let a host decide who a client is, what an account may do, which rows it sees and which rows it may refer to.
