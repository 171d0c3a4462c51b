"""Tools: declared pipelines of ONNX models and steps that Cloister ships, run by users on their own premises.

A tool is data. Its manifest names steps from an allow-list and models by digest; nothing in it is executed as code, so
a tool from another party can compute on a user's pictures but cannot do anything else.
"""
