"""What maintains this repository: its papers that are generated, and the texts of its releases.

Apart from `infra/`, which may not import the command line, and from the packages that are installed: nobody who runs
dynaurora needs it, so the wheel does not have it.
"""
