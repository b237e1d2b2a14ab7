"""The optimisation loop, in a child process of its own.

The parent's side (never imports torch): ``supervisor``, ``protocol``, ``result``, ``environment``, ``mnist_files``.
Everything else is the child's side; it starts at ``child`` and may import torch.
"""
