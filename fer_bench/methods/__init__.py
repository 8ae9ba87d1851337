"""The published systems, their parts and baselines: one file a paper, the recipe inside.

A file's stem is the method's id. Its one subclass of `Method` defined there is the method, and the signature of its
constructor is its configuration.
"""
