"""People told where they are: what is stuck, forced, lost or given up goes out of the house, once.

A process of its own, there only while somebody is to be told (``upcall alerts add``): it reads the journal as any
client does, notes what is to be told before it reads on, and forgets it when the other side has taken it. So nothing is
told that did not happen, and nothing is left out because a mailer, a network or this process was away.
"""
