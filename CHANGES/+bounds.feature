Arguments and results of tasks are limited to 16 MiB each, and the texts of a task's error to 64 KiB.
