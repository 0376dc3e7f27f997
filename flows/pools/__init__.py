"""Stages that run elsewhere: a Prefect work pool takes one, a stateless worker does it, DVC's remote carries the data.

``submit`` is the flow's side, ``worker`` the other one. docs/pools.md says how to set up both.
"""
