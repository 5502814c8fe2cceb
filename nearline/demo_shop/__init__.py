"""A small shop to try the loop on: real tracker, real collector, real decisions.

What is sold and how a page looks is in here. How events are taken, checked and kept is the
collector's, what is shown to whom is `nearline.decisions`', and the shop goes through both
as any other page would.
"""
