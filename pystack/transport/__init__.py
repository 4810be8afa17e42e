"""Transports: they know addresses only as values to compare, take `now` as a parameter, and neither read a clock nor
draw randomness. IP carries their segments; the stack joins the two."""
