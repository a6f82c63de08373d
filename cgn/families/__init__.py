"""The families of CGNs: each folder has a network in its trained and its served form.

`table.py` lists them.
"""
