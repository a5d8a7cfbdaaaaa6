"""A storage driver for Longshore on a plain directory, over the code that generate.py makes of the contract's proto.

Coroutines carry messages; whatever waits for the disk is a plain function that runs in a thread (threads.py).
"""
