"""What a training leaves at an optimizer step so that another process can go on, to the last bit where kernels are deterministic.

The parent's side (never imports torch): ``identity``, ``manifest``, ``folder``. The child's:
``snapshot``, ``payload``, ``writer``, ``keeping``, ``keeper``.

A checkpoint is two files: the state, and a manifest that names it with size and SHA-256. Both are written beside their
place, fsynced and renamed, the manifest last: without it the other does not count.
"""
