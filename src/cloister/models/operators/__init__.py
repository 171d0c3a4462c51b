"""Our own JAX handlers, one file per operator family. `registry.OPERATORS` is filled when `load` imports them all."""
