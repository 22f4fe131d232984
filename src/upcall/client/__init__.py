"""Clients of the operator API: what the command line, the page, and anybody's program call.

:class:`upcall.client.blocking.Client` waits for each answer and needs the standard library's HTTP alone;
:class:`upcall.client.streaming.AsyncClient` is for event loops. Both find cluster and token in the data folder
(:mod:`upcall.client.folder`).
"""
