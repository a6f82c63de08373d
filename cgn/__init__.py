"""Counterfactual Generative Networks: causes, mechanisms, composer, checkpoints, engine.

Nothing in this package knows of a network, a queue or Redis.
"""
