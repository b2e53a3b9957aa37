"""How is a port shared? Sockets, Node's cluster protocol, descriptor hand-over, balancing."""
