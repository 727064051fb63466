Added `POST tasks/purge/`, which removes tasks that ended long ago, and `TASK_PROTECTION_TIME`, which does so at regular intervals.
