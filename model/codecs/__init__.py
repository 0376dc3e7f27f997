"""Codecs: speech to discrete codes and back, behind one interface (:class:`model.codecs.base.Codec`).

To add one, write a subclass of ``Codec`` in a module of this folder and enter it in ``CODECS`` of
:mod:`model.codecs.registry`. Published names also need a line in ``PUBLISHED`` of :mod:`model.codecs.facts`.
"""
