Added task schedules: `GET task-schedules/` lists them, and a scheduled task has its reservations like any other.
