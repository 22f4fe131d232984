"""Every operation of a service's life on the real systems, one after the other, under an open loop of requests.

    make operations                                  one of each row, on Kafka; writes build/operations.json
    ROUNDS=1 make operations                         every row of every system
    CELLS=kafka_scale_out,kafka_scale_in make operations

A cell is one row of one system: the operation is asked for as a person does it, by the command line, while requests are
due on a schedule, each with one total deadline of 5 s. It is over when the operation is, and everything is in sync
again. Then all that was acknowledged is read back::

    <system>_<row>_duration_s    from the request until it is over and in sync
    <system>_<row>_failed        requests that missed their deadline
    <system>_<row>_lost          acknowledged, and not there
    <system>_<row>_twice         there more than once

What a request is, and what is read back:

| system | load | ``lost`` and ``twice`` are looked for in |
| --- | --- | --- |
| kafka | 250 ``acks=all`` writes a second over all partitions | the log |
| cassandra | 200 requests a second at LOCAL_QUORUM, half of them reads | the whole table, and what reads gave |
| spark | 250 writes a second to a Kafka on another cluster | what a job counted; ``failed`` is that Kafka alone |

Cells of one system share a cluster, in an order in which each finds what it needs; a run that begins in the middle
brings it there first. ``build/operations/`` keeps each cell with its commit. Rows that a system has no meaning for
stand in its stage with the reason (``none``).

    SABOTAGE=all-at-once         the service's code accepts everything at once, above no minimum: ``..._failed``
    SABOTAGE=deletes-records     what was acknowledged is deleted behind the writer's back: ``..._lost``
    SABOTAGE=writes-twice        a write that was acknowledged is sent again: ``..._twice``

of ``kafka_rolling_restart``, or of what ``CELLS`` names (Cassandra has the first two, Spark the last).
"""
