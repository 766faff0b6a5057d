"""The paper: a Gaussian memory, its addresses, its bound and the machine around them."""
