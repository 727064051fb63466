DROP INDEX core_taskgroup_finished;
--;;
DROP INDEX core_taskschedule_due;
--;;
ALTER TABLE core_taskschedule DROP COLUMN last_dispatch;
--;;
ALTER TABLE core_taskschedule DROP COLUMN user_id;
--;;
ALTER TABLE core_taskschedule DROP COLUMN reserved_resources;
