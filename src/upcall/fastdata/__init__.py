"""The fast-data path: aircraft -> ingest -> Kafka -> Spark -> Cassandra -> queries and page.

The trajectory is a recorded flight; the 20,000 sensors are modelled from it. Nothing is imported here: each module
pulls only what it needs.
"""
