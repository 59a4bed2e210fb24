"""The environment that the functions have on AWS, as far as modules read it while they are imported."""

import os

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "dynaurora")
os.environ.setdefault("POWERTOOLS_TRACE_DISABLED", "true")
