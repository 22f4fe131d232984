"""What must outlive everything else of ours: processes that start and keep other processes.

* the **supervisor** (:mod:`upcall.keeper.supervisor`), one for a data folder, keeps our own processes up: master,
  agents, hosts, page;
* the **launcher** (:mod:`upcall.keeper.launcher`), one for an agent, is small and does one thing: it forks
* a **shim** (:mod:`upcall.keeper.shim`) for each task, which owns the task's output, its exit record and its end.

A task therefore depends on its shim alone: agent, launcher, supervisor and master may be killed at any instant. The
standard library is all that is imported here, and nothing of ours: a small process is a cheap one, and what has no
dependencies does not break with them.
"""
