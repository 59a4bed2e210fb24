"""An AWS the size of one machine: an emulator, a MariaDB, and the behaviours no emulator has."""
