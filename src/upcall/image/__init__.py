"""From lock to pod: a package as an OCI image, built without a daemon, without root, and always the same.

A lock has two forms. On our own machines it is a folder in the cache; in a cluster of somebody else's it is a layer
of an image. Nothing is run to build one: what the locks name is realised as everywhere (:mod:`upcall.artifacts`),
written into layers, and described.

**The same lock gives the same digest**, on another machine, on another day, of another user. So nothing of the moment
and of the machine goes in: entries are in order, times are one time, owners and modes are ours, no path of the cache
stands in any file, and what differs with each making (byte code, class archives) is left out.

**Layers are shared.** Each artifact is one layer, named in the image by its lock. Two packages on one Java runtime have
that layer in common, two versions of ours all but the last two.

    layers       entries -> a tar, compressed, with its digests target       which machine and Python: what an image
    calls its platform placing      where things lie in an image, and the index by which the pod finds them realising
    one lock -> the folder that becomes a layer, for a machine that need not be this one base         what lies below:
    another image, or packages of a distribution ours         our own code and what it imports building     all of it
    together: a package -> an image documents    configuration, manifest, index: the texts that describe layers (pure)
    layout       written as a folder or as an archive registry     the API of registries; ``references`` names in
    them, ``credentials`` whoever asks, ``pushing`` what is sent
"""
