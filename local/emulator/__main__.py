"""Start the local AWS: ``python -m local.emulator``."""

from local.emulator.launcher import main

main()
