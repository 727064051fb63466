package tasking

// at is called at the points where a process may die between two steps that belong together. It does nothing, unless a
// test has something happen there.
func (c *core) at(point string) {
	if c.fault != nil {
		c.fault(point)
	}
}
