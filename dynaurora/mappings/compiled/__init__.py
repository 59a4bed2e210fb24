"""What a mapping is compiled to when it is loaded: the same rows, verdicts and reasons as by the plain modules, faster.

The plain modules (`rows`, `attributes`, `columns`, `judging`, `csv_batches`) say what is right; tests hold everything
here against them.
"""
