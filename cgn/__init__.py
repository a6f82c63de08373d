"""Counterfactual Generative Networks (Sauer and Geiger, ICLR 2021): an image is composed from three causes.

Each cause is a *factor*: a label and noise. Each factor goes to one *mechanism*, and the composer joins the
three outputs (equation 2):

    shape       (label, noise) -> mask m
    texture     (label, noise) -> foreground f
    background  (label, noise) -> background b
    composer    x = m * f + (1 - m) * b

The mechanisms are independent: no output depends on another mechanism's factor. So the unit of work is a
*row*, one mechanism's output for one factor. Rows are what is batched, cached and recombined.

Read in this order: `factors`, `noise`, `labels`, `composer`, `model`, `card`. Then each folder is a subject:
`families` (networks), `engine` (batched forward passes), `store` (models on disk), `sampling` (streams of
counterfactuals), `metrics`, `losses`, `images`, `data`, `imports`, `kernels`.

This package uses no network, queue or Redis.
"""
