An idle process asks the database one question a second instead of fourteen: one worker of the installation has the lease
to announce tasks again, to dispatch schedules and to sweep.
