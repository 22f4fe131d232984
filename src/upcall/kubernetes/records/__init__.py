"""The durable records of a master in the API server of a Kubernetes cluster.

What the API server gives is compare-and-swap on one object, and no transaction over two. What is wanted of it: that a
master which was replaced writes nothing that counts any more, whatever it wrote before it knew. Nothing that looks
before it writes gives that: a process can be stopped between the look and the write, and so can an API server (which
therefore excludes an admission policy too; besides, it sees its parameters through a cache of its own). So a write may
arrive late, and then does not count:

* each record says which start of a master wrote it, with the how many-th of its writes (:mod:`objects`). Together they
  are its version. A start writes one after the other, the next when the one before is known to be there;
* one object, the *head*, says which start is the last (:mod:`head`). It is taken by compare-and-swap. Who took it lists
  everything, and notes in the head up to which write the starts before it count: all that it has seen. Only then does
  it write. What comes later of an older start has a higher number: it is void, for every reader and for ever;
* a record that is written over keeps in itself what stood before. So what is void takes nothing away;
* nothing is acknowledged before the head was read after it, and was still ours. Then it was there before any other
  start took the head, and that one sees it in its list;
* a deletion is a write too: what it leaves goes after :data:`objects.GRAVE_S`, when no creation that was lost on its
  way can arrive any more.

A write whose answer was lost is looked for: it carries its number. So it is neither taken for lost nor made twice.

Events are in pages, each of one start, one write for all events of a commit; blobs in pieces below a record that names
them (:mod:`events`, :mod:`blobs`). Both are ConfigMaps: they are no state that anybody looks at one by one.

A Lease (:mod:`leader`) chooses who takes the head. It keeps two masters from taking it from each other all the time,
and has one that was stopped look before it goes on; no promise about records hangs on it, nor on clocks.
"""
