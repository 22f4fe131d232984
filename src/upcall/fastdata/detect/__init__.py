"""Finding sensors that went wrong, from their readings alone: no label and no model of the aircraft is seen here.

Each second of a block is tested by itself, where it is unpacked (`residuals`, `tests`); the scores are stored beside
the second. What needs memory looks at stored seconds only (`recent`, `steps`, `drift`, `spikes`; what is open stands in
`lasting`, and `detector` puts them together), so any process can take it over from the store.
"""
