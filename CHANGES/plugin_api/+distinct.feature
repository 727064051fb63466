`models.Distinct` walks over the distinct values of a column, for example all project names in a repository version, by jumps in
the column's index.
