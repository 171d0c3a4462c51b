"""Models as data: ONNX bytes in, checked within limits, executed and differentiated in JAX, written back as ONNX.

A model from another party is never code. `parse` admits only an allow-list of operators; `execute` interprets them with
our own handlers; `export` writes new weights into the same graph. Importing this package imports nothing heavy: JAX is
imported by `execute` and the handlers, which only worker processes and offline commands load.
"""
