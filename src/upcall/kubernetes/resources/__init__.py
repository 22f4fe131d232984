"""Services as custom resources: ``kubectl apply`` of one is an install, a change of its ``spec`` an update, and its
deletion an uninstall that its service is asked about; and operations to look at.

This is one more client of the operator API, beside the command line and the page, in the pod of the control plane that
leads. It holds nothing durable. What a resource says is compared with what the master has taken up of it (the master
keeps the resource's uid and generation with the service), so whatever was missed, whoever leads, and however often it
is said, the same comes out.

========================  ==============================================================================================
part                      what
========================  ==============================================================================================
:mod:`schemas`            JSON Schema of a package's options, as the API server wants it
:mod:`kinds`              our kinds: one for each package of the catalog, one for all other packages, and operations
:mod:`reading`            a resource as it was read, and a service as the master shows it
:mod:`core`               what is to be asked of the master and written into resources.   Pure.
:mod:`status`             what stands in a resource's status.   Pure.
:mod:`mirror`             operations, to be looked at.   Pure.
:mod:`speaking`           carries all of it: watches, calls, the master's events
========================  ==============================================================================================

Who wins is simple: a service that a resource made is changed by the resource alone. What else differs (a size that the
service chose by itself within its bounds) is left until the resource says something new.
"""
