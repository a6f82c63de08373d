"""The families of CGNs: each folder has the network as it is trained and as it is served.

`table.py` lists them.
"""
