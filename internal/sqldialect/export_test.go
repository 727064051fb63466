package sqldialect

import "time"

// SetAcquireTimeout changes how long a statement waits for a connection.
func (c *Conn) SetAcquireTimeout(d time.Duration) { c.acquireTimeout = d }
