`pulpcore.Plugin.Tasks` may have names that begin with `pulp_<Name>.`, as those of Pulp's plugins do.
