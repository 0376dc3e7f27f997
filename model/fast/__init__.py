"""What is here for speed only. Each module computes what a plain twin computes, and a test compares the two.

``decoder``, ``kv_cache``: transformers' forward pass, for sampling. ``codec``: EnCodec's own layers. ``onednn``:
``torch.nn.functional.linear``. ``padding``: batches without common lengths. ``parallel``: a ``for`` loop.
"""
