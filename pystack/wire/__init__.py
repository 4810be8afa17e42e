"""Wire formats: bytes to frozen values and back. No state, no time, no input or output."""
