File repositories have the fields `autopublish`, which publishes each new version, and `manifest`, the name of the manifest of such
publications. `manifest` may be null, there and in a publication: then there is no manifest.
