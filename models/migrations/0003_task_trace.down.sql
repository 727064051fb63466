ALTER TABLE core_task DROP COLUMN trace_context;
