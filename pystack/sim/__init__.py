"""Many hosts in one process on a clock that jumps: whole networks in milliseconds, replayed exactly by their seed."""
