"""Where tasks run, behind one interface (:mod:`upcall.substrate.interface`)."""
