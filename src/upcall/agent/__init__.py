"""One machine: sandboxes, containment, checks, volumes and logs of the tasks that the master wants here.

The agent dials out to the master and does what it is told; it never ends a task because the master is silent. Tasks
are not its children (:mod:`upcall.keeper`), so it may be killed at any instant: the next one reads the checkpoint,
takes over what runs and reports what ended meanwhile.

Where to look: :mod:`~upcall.agent.lifecycle` is the table of one task's life, :mod:`~upcall.agent.task` drives it,
:mod:`~upcall.agent.bring_up` is the way from a launch message to a running process, :mod:`~upcall.agent.agent` ties
all tasks together and answers the master.
"""
