"""The fast-data path as services like any other: what the demo's composition installs beside the data systems."""
