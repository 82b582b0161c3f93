"""Tools that tests share: the real server on a real port, independent readers of the wires, a faulty network."""
