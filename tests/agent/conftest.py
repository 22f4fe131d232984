from agent_node import free_port, master, node

__all__ = ["free_port", "master", "node"]
