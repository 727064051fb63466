Distributions can be filtered by `with_content`, content and artifacts by `orphaned_for`.
