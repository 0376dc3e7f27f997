"""Layouts: how a family of codec language models writes text, voice prompt and codes as one sequence of tokens.

A layout is a YAML file of about twelve lines in this folder, or anywhere. docs/your-model.md explains each line.
:class:`model.layouts.layout.Layout` joins it with a tokenizer: ``Layout.load("orpheus", FOLDER)``. Nothing else in the
project knows a family's name.
"""
