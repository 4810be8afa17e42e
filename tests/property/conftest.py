"""A busy machine is no reason to fail: no deadline for a single example."""

from hypothesis import settings

settings.register_profile("undisturbed", deadline=None)
settings.load_profile("undisturbed")
