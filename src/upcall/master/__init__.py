"""The master: drives the pure cores, keeps what they recorded, and speaks to services, agents and people.

Flow of everything that happens here::

    call or message -> core.turn(...) -> ledger and substrate (pure) -> record changes
                    -> one commit for many turns -> answers, messages, events released in order

:mod:`~upcall.master.core` couples ledger and substrate. :mod:`~upcall.master.transaction` is one turn on them: it
gathers (``gathering``), performs the ledger's effects (``performing``), takes in what the substrate observed
(``observing``). :mod:`~upcall.master.driver` runs the turns, :mod:`~upcall.master.commit` makes them durable; what any
driver does alike is in ``turning``. What services say and hear is translated in ``from_wire`` and ``to_wire``.
``operator_api``, ``service_api``, ``host_api`` and ``package_api`` are the doors; what machines need of the master is
:mod:`~upcall.master.ground`.
"""
