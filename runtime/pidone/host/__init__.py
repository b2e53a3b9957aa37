"""How big is the box? Cgroups, CPU quota, memory, process-tree usage."""
