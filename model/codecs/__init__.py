"""Codecs: speech to discrete codes and back, behind one interface (:class:`model.codecs.base.Codec`).

To add one:

1. Write a subclass of ``Codec`` in a module of this folder.
2. Enter it in ``CODECS`` of :mod:`model.codecs.registry`, by the ``model_type`` of its ``config.json``.
3. Let ``config.json`` of its folders also name ``sample_rate`` (Hz), ``n_codebooks`` and ``codebook_size``. A published
   name, which has no folder, needs a line in ``PUBLISHED_FACTS`` of :mod:`model.codecs.facts` instead.

The folders of ``transformers``' EnCodec, DAC, Mimi, XCodec2 and NeuCodec, and of the package ``snac`` (``pip install
snac``), load as they are.

A codec of another package needs none of these steps: it is found by its entry point (:mod:`model.codecs.plugins`). One
whose decoder takes a voice too is a ``model.codecs.voiced.VoicedCodec``.

``Codec.requantize`` is needed only for ``gap.train_synthetic_nar: true`` (stage ``nar_synthetic``).
"""
