"""Pairing heaps whose nodes lie in one array: nothing is allocated, and any number of heaps share the nodes.

Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap: a new form of self-adjusting heap", Algorithmica 1 (1986). A
heap is the index of its root, or `NOWHERE`. Plain functions, which the compiled engine compiles.
"""

from __future__ import annotations

from sim.delivery.kernel.packed import NOWHERE, Records


def push(nodes: Records, root: int, node: int, time_us: int, order: int) -> int:
    """Put a node into a heap under (time_us, order) and return the heap's root."""
    n = nodes[node]
    n.time_us = time_us
    n.order = order
    n.child = NOWHERE
    n.sibling = NOWHERE
    return meld(nodes, root, node)


def meld(nodes: Records, a: int, b: int) -> int:
    """Make one heap of two, the first of which may be empty, and return its root."""
    if a == NOWHERE:
        return b
    first, second = nodes[a], nodes[b]
    if second.time_us < first.time_us or (second.time_us == first.time_us and second.order < first.order):
        first.sibling = second.child
        second.child = a
        return b
    second.sibling = first.child
    first.child = b
    return a


def pop(nodes: Records, root: int) -> int:
    """Take the least node, the root, out of a heap and return the root of what is left."""
    left = nodes[root].child
    pairs = NOWHERE
    while left != NOWHERE:
        first = left
        second = nodes[first].sibling
        left = NOWHERE
        if second != NOWHERE:
            left = nodes[second].sibling
            first = meld(nodes, first, second)
        nodes[first].sibling = pairs
        pairs = first
    root = NOWHERE
    while pairs != NOWHERE:
        following = nodes[pairs].sibling
        root = meld(nodes, root, pairs)
        pairs = following
    return root
