"""What a service's users notice of its operation: the same event, by the consent of four ways.

    make availability                              from health, all four ways; writes build/availability.json and .svg
    ROUNDS=1 make availability                     also with one broker already down
    CELLS=drain_upcalls_down,drain_readiness_down make availability

Six real brokers in three zones, 250 ``acks=all`` writes a second in an open loop, each with one total deadline of 5 s.
A cell is one event, by one way, from health or with one broker down:

| event | what happens |
| --- | --- |
| ``rolling_restart`` | each broker is restarted |
| ``drain`` | each node of a zone is emptied for :data:`~benchmarks.availability.events.MAINTAINED_S`, and comes back |
| ``upgrade`` | Kafka goes to the next version |
| ``scale_in`` | the last broker leaves, with its data moved |

| way | who says when the next one goes |
| --- | --- |
| ``blind`` | a clock: one after the other with a fixed pause, as with a compose file |
| ``readiness`` | all others are ready by their probe: a StatefulSet with a PodDisruptionBudget of one |
| ``operator`` | that, and no partition falls below its minimum, the active controller last: the best known operator |
| ``upcalls`` | the catalog's own code: what the partitions can spare, also several at once |

Everything else is the same: the cluster, the load, the code that carries the event out, what moves data
(:mod:`benchmarks.availability.consents` has the answers, and nothing else). With one broker *down* its machine is away
when the event begins, and comes back after a minute, in all ways. An event is over when all that it is about is ready
and in sync again. ``operator`` looks at what a stop would cost, as ``upcalls`` does: where one
goes after the other, the two may tie.

    SABOTAGE=upcalls-are-blind      ``upcalls`` is played by the clock: ``rolling_restart_upcalls_down_under_min_isr_s``
    SABOTAGE=upcalls-are-readiness  it is played by ``readiness``: ``rolling_restart_health_to_readiness``
    SABOTAGE=deletes-records        acknowledged records are deleted unseen: ``drain_upcalls_health_lost``
"""
