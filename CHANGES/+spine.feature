Started pulpcore as an embeddable Go library: content-addressed artifacts, versioned repositories, sync pipelines, tasks with
resource reservations, a REST API that Pulp 3 clients can drive and a content server, on SQLite or Postgres, without any other
service to install.
