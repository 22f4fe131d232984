"""Who may use what on machines that we run ourselves. Pure: inputs in, effects out (:mod:`upcall.kernel.kernel`)."""
