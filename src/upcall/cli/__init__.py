"""The command line: a client of the operator API and nothing more.

Each noun has a file, loaded only when it is named (:mod:`upcall.cli.main`), so that ``upcall --help`` answers at once.
What a person reads goes to standard output as tables, what a program reads as JSON (``--output json``), and progress
goes to standard error, so a pipe gets the result alone.
"""
