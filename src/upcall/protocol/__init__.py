"""The types on each wire: what a task is, and what services, agents and people say to the master.

Nothing here knows how a thing is done. Types are frozen ``msgspec`` structs: unknown fields are ignored when
decoding, so additions are harmless and only what breaks gets a new version (:mod:`upcall.protocol.versions`).
"""
