"""Settings of Sphinx; each warning fails the build."""

project = "upcall"
copyright = ""
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "upcall"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
exclude_patterns: list[str] = []
# Transcripts of a terminal and templates are no whole programs.
suppress_warnings = ["misc.highlighting_failure"]
