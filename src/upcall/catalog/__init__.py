"""The catalog: one folder a system, each with its experts' knowledge as code."""
