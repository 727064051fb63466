package work

// CreateContent is the part of a task that saves a unit.
var CreateContent = RowArgs.createContent
