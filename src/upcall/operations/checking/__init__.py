"""What checks the ledger, and what nothing that runs imports.

explore             every reachable state of a small_world (small_steps: what may happen in it; explored: which
                    states are one; worlds: which are walked)
checker, diagram    event logs and documentation against the table
"""
