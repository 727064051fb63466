Answers about rows of all types with secrets have `hidden_fields`; only those about remotes had it.
