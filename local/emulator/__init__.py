"""The local AWS: a pinned emulator, started with the AWS behaviours that it lacks.

Run as ``python -m local.emulator`` by the interpreter of ``.venvs/emulator``. One module per behaviour; each says
what AWS does, where that is written down, and what it still leaves out. ``launcher`` puts them together.
"""
