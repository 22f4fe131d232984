"""The ledger: what is wanted, who was asked, what was answered, and what the guard allows.

The system does nothing to a running task of a service except as an *operation* that it first proposes. This package
is that promise as a pure state machine: inputs in, record changes and effects out; no I/O, no clock, no threads, no
randomness, nothing about where tasks run. Read it in this order:

    table         kinds, classes, states and transitions, with the rules above them
    records       what is durable: each record is written alone
    inputs        what can happen              effects    what the driver does after the commit
    news          what happened, as facts       wording    the same, as a person reads it
    book          the records and (memory) what was observed; every write passes through it
    guard         known ready members against the minimum
    consents      epochs, questions and answers
    judgement     may it begin, and if not: who waits for whom (why prints the same judgement);
                  aftermath judges losses, underway what has begun, waiting has the words
    execution     what a begun operation does until it is over
    members       launches; what is held, gone or taken
    losses        what died, went silent or fell ill, unasked
    maintenance   drains and shutdown: a parent and what lies below it
    proposals     what is asked for; people: what they say about what stands; disruptions: what others began
    declarations  services and their members
    ledger        handle(input) -> record changes, effects, reply
    checking      every reachable state of small worlds; what happened, and the documentation, against the table
"""
