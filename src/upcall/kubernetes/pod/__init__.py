"""``upcall-pod``: our part in a pod, the entry point of its container's image.

It is the agent (:mod:`upcall.agent`) with one task, in a container that somebody else has made around it: the same
bring-up, checks, logs, tools and exits, the same words to the master. What is different stands here: what it is given
(:mod:`given`), volumes that are mounted (:mod:`volumes`), limits that are the container's (:mod:`groups`), and how it
begins and ends (:mod:`part`): the kubelet asks it whether the task is ready (:mod:`readiness`), tells it to end, and is
told how the task ended (:mod:`last_word`).

A container is its first process: when this one is killed the kernel ends the task with it, and the master hears of a
death. While the master is away the task runs on, and what there is to say is said when it is back.
"""
