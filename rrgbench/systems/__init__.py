"""Systems of one step, and the composed one."""
