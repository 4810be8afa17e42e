"""Every benchmark, in one table."""

import sys

import bulk
import churn
import headers
import idle
import latency
import loss
import startup
from _harness import main

MEASURES = (bulk.measure, loss.measure, latency.measure, churn.measure, idle.measure, headers.measure, startup.measure)

if __name__ == "__main__":
    sys.exit(main(__doc__, *MEASURES))
