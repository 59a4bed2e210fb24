"""Pages: HTML for people, filled from templates, with one stylesheet and plots as SVG.

Whoever imports a module of this package imports Jinja2: a function does so only where it writes a page.
"""
