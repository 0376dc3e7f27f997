"""Fast twins of plain code. A test compares what each module computes with its plain twin.

``decoder``, ``kv_cache``: transformers' forward pass, for sampling; ``recording``: its steps as CUDA graphs. ``codec``:
EnCodec's own layers. ``onednn``: ``torch.nn.functional.linear``. ``padding``: batches without common lengths.
``parallel``: a ``for`` loop. ``chunked``, ``heap``: less memory.
"""
