"""The optimisation loop, in a child process of its own.

The parent's side (never imports torch): ``processes``, ``result``, ``data_sets.mnist_files``. Everything else is the child's
side; it starts at ``child`` and may import torch. What users name in their configuration or import in their own code:
``datasets``, ``models``, ``data``, ``streamed_data``.
"""
