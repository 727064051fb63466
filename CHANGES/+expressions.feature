Lists take `q=`, an expression of their filters with NOT, AND, OR and parentheses, and the lookups `regex` and `iregex` of names.
