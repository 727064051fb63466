Without a Redis URL tasks are announced by channels of the process; there is no Redis inside the process any more.
