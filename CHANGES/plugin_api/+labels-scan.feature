`Labels.Scan` reads labels from a column of JSON.
