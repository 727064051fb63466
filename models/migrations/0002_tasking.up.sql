-- What a schedule needs besides a name, a task and a time: the resources that its tasks reserve, as core_task has them,
-- who asked for it, and when it was dispatched last.
ALTER TABLE core_taskschedule ADD COLUMN reserved_resources {{if .postgres}}TEXT[] NOT NULL DEFAULT '{}'
{{else}}TEXT NOT NULL DEFAULT '[]'{{end}};
--;;
ALTER TABLE core_taskschedule ADD COLUMN user_id INTEGER;
--;;
ALTER TABLE core_taskschedule ADD COLUMN last_dispatch {{.time}};
--;;
CREATE INDEX core_taskschedule_due ON core_taskschedule (next_dispatch, pulp_id) WHERE next_dispatch IS NOT NULL;
--;;
-- Purges ask which groups are without tasks and finished.
CREATE INDEX core_taskgroup_finished ON core_taskgroup (pulp_last_updated) WHERE all_tasks_dispatched;
