"""Bare loops over the same links: what Python costs before there is a TCP. No stack: nothing here recovers anything."""
