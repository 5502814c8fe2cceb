"""A small shop to try the door on: real tracker, real collector, and what they made of it.

What is sold and how a page looks is in here; how events are taken, checked and kept is
the collector's, and the shop goes through it as any other page would.
"""
