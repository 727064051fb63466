`pulpdist init plugin NAME` makes the module of a new plugin, whose tests pass.
