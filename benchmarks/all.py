"""Every benchmark, in one table."""

import sys

import bulk
import headers
import latency
from _harness import main

if __name__ == "__main__":
    sys.exit(main(__doc__, bulk.measure, latency.measure, headers.measure))
