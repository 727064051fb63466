DROP TABLE core_checksumpolicy;
