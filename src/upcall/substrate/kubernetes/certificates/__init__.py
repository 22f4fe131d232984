"""Certificates of our own servers in a cluster, which nobody has to make and nobody has to renew: what is due when
(:mod:`renewing`, without I/O), and who sees to it (:mod:`keeping`)."""
