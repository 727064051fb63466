`modify` and the creation of content take `overwrite`: with false, the task fails with `PLP0023` if a unit takes the place of another one
in the repository. The creation of content takes `downloader_config`, the network settings of a remote, for its `file_url`.
