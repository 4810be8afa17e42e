"""User-space stacks, ours among them: each behind a TAP, with a program that measures it on request."""
