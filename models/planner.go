package models

// The planners of both databases choose by statistics, which SQLite has none of and which Postgres updates minutes
// after a bulk write. These helpers write conditions so that a bad choice is not possible. TestPlansWithStaleStatistics
// and TestScale explain the statements that use them.

// unindexed wraps a column of a comparison so that no index on it is used. It prevents this plan: of two indexes the
// planner takes the one on a column whose value seems rare, and reads the index to its end for every batch of keys.
func unindexed(column string) string { return "COALESCE(" + column + ", " + column + ")" }

// unindexedIf is [unindexed] for a condition as a whole, as in that on the remote of remote artifacts.
func unindexedIf(cond string) string { return "(" + cond + ") IS TRUE" }

// unestimatedUnless negates a condition so that its selectivity is not estimated. It prevents this plan: the planner
// expects a condition on version numbers to leave few rows, and reads and sorts all members of a version for each page.
func unestimatedUnless(cond string) string { return "(" + cond + ") IS NOT TRUE" }

// useAddedIndex is a condition on the membership rc that is always true. It allows the partial index
// core_repositorycontent_added, which exists for the statements that repeat its condition. Without it, the others would
// find that index more attractive than the primary key.
func useAddedIndex(rc string) string { return rc + ".version_added >= 0" }
