"""An AWS the size of one machine: an emulator, a database server, and the behaviours no emulator has."""
