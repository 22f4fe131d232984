"""Workloads of somebody else's, on a cluster that has such."""
