"""pystack: a TCP/IP stack that you import. Public names are loaded when first used (PEP 562)."""
