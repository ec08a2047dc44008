"""Tasks about lists, dicts and sets: (prompt, solution, calls…); a call is (arguments as a tuple, value)."""

from __future__ import annotations

from typing import Any

RECORDS: tuple[tuple[Any, ...], ...] = (
    (
        '''
def last_item(items):
    """Return the last item of the list items, or None if it is empty."""
''',
        "    return items[-1] if items else None\n",
        (([1, 2, 3],), 3),
        (([],), None),
        ((["a"],), "a"),
        (([[1]],), [1]),
        (([0, 0.5],), 0.5),
    ),
    (
        '''
def only_positive(numbers):
    """Return a list of those numbers that are greater than zero, in the same order."""
''',
        "    return [n for n in numbers if n > 0]\n",
        (([1, -2, 3],), [1, 3]),
        (([],), []),
        (([0],), []),
        (([-1, -5],), []),
        (([2.5, 0, 7],), [2.5, 7]),
    ),
    (
        '''
def sin_duplicados(lista):
    """Devuelve una lista nueva sin elementos repetidos, en el orden en que aparecen por primera vez."""
''',
        "    return list(dict.fromkeys(lista))\n",
        (([3, 1, 3, 2, 1],), [3, 1, 2]),
        (([],), []),
        ((["a", "a"],), ["a"]),
        (([1, 2],), [1, 2]),
        (([0, 0, 0, 1],), [0, 1]),
    ),
    (
        '''
def count_each(items):
    """Return a dict from each item of the list to how often it occurs."""
''',
        """
    counts = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return counts
""",
        ((["a", "b", "a"],), {"a": 2, "b": 1}),
        (([],), {}),
        (([1],), {1: 1}),
        (([True, False, True],), {True: 2, False: 1}),
        (([(1, 2), (1, 2)],), {(1, 2): 2}),
    ),
    (
        '''
def second_largest(numbers):
    """Return the second largest of the different numbers in the list, or None if there are fewer than two."""
''',
        "    found = sorted(set(numbers))\n    return found[-2] if len(found) > 1 else None\n",
        (([1, 5, 3],), 3),
        (([5, 5],), None),
        (([],), None),
        (([2, 2, 1],), 1),
        (([-1, -2, -3],), -2),
    ),
    (
        '''
def flatten(rows):
    """Put the items of all lists in the list rows into one list: [[1, 2], [3]] gives [1, 2, 3]."""
''',
        "    return [item for row in rows for item in row]\n",
        (([[1, 2], [3]],), [1, 2, 3]),
        (([],), []),
        (([[], []],), []),
        (([[0]],), [0]),
        (([["a"], ["b", "c"]],), ["a", "b", "c"]),
    ),
    (
        '''
def common_items(first, second):
    """Return the set of items that are in both lists."""
''',
        "    return set(first) & set(second)\n",
        (([1, 2, 3], [2, 3, 4]), {2, 3}),
        (([], [1]), set()),
        ((["a"], ["a", "a"]), {"a"}),
        (([1], [2]), set()),
        (([1, 1], [1]), {1}),
    ),
    (
        '''
def chunk(items, size):
    """Cut the list items into lists of the given size; the last one may be shorter.

    >>> chunk([1, 2, 3, 4, 5], 2)
    [[1, 2], [3, 4], [5]]
    """
''',
        "    return [items[i:i + size] for i in range(0, len(items), size)]\n",
        (([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4], [5]]),
        (([], 3), []),
        (([1, 2], 2), [[1, 2]]),
        (([1, 2, 3], 1), [[1], [2], [3]]),
        (([7], 10), [[7]]),
    ),
    (
        '''
def rotate_left(items, steps):
    """Return the list with its first items moved to the end, steps times: ([1, 2, 3], 1) gives [2, 3, 1].

    steps may be larger than the list; an empty list stays empty.
    """
''',
        "    if not items:\n        return []\n    k = steps % len(items)\n    return items[k:] + items[:k]\n",
        (([1, 2, 3], 1), [2, 3, 1]),
        (([], 4), []),
        (([1, 2], 2), [1, 2]),
        (([1, 2, 3], 7), [2, 3, 1]),
        ((["a"], 0), ["a"]),
    ),
    (
        '''
def running_total(numbers):
    """Return the list of sums so far: [1, 2, 3] gives [1, 3, 6]."""
''',
        """
    total, out = 0, []
    for n in numbers:
        total += n
        out.append(total)
    return out
""",
        (([1, 2, 3],), [1, 3, 6]),
        (([],), []),
        (([5],), [5]),
        (([1, -1, 1],), [1, 0, 1]),
        (([0, 0],), [0, 0]),
    ),
    (
        '''
def invert(mapping):
    """Return a dict with keys and values of mapping exchanged; all values are different."""
''',
        "    return {value: key for key, value in mapping.items()}\n",
        (({"a": 1, "b": 2},), {1: "a", 2: "b"}),
        (({},), {}),
        (({1: 1},), {1: 1}),
        (({"x": "y"},), {"y": "x"}),
        (({(1,): 0},), {0: (1,)}),
    ),
    (
        '''
def total_precio(carrito):
    """Devuelve el total de una lista de pares (precio, cantidad).

    Return the total of a list of (price, quantity) pairs; an empty list costs 0.
    """
''',
        "    return sum(precio * cantidad for precio, cantidad in carrito)\n",
        (([(10, 2), (5, 1)],), 25),
        (([],), 0),
        (([(3, 0)],), 0),
        (([(0.5, 4)],), 2.0),
        (([(1, 1), (1, 1), (1, 1)],), 3),
    ),
    (
        '''
def index_of(items, wanted):
    """Return the place (from 0) of the first item equal to wanted, or -1 if there is none."""
''',
        "    for i, item in enumerate(items):\n        if item == wanted:\n            return i\n    return -1\n",
        ((["a", "b", "a"], "a"), 0),
        (([1, 2], 2), 1),
        (([], 1), -1),
        (([1], 3), -1),
        (([[], [1]], [1]), 1),
    ),
    (
        '''
def is_sorted(items):
    """Return True if no item of the list is smaller than the one before it."""
''',
        "    return all(a <= b for a, b in zip(items, items[1:]))\n",
        (([1, 2, 2],), True),
        (([2, 1],), False),
        (([],), True),
        (([5],), True),
        (([1, 3, 2],), False),
    ),
    (
        '''
def group_by_length(words):
    """Return a dict from length to the list of words that long, in their order.

    >>> group_by_length(["a", "bb", "c"])
    {1: ['a', 'c'], 2: ['bb']}
    """
''',
        """
    groups = {}
    for word in words:
        groups.setdefault(len(word), []).append(word)
    return groups
""",
        ((["a", "bb", "c"],), {1: ["a", "c"], 2: ["bb"]}),
        (([],), {}),
        (([""],), {0: [""]}),
        ((["x", "y"],), {1: ["x", "y"]}),
        ((["ab", "abc"],), {2: ["ab"], 3: ["abc"]}),
    ),
    (
        '''
def transpose(matrix):
    """Exchange rows and columns of a list of equally long lists: [[1, 2], [3, 4]] gives [[1, 3], [2, 4]]."""
''',
        "    return [list(column) for column in zip(*matrix)]\n",
        (([[1, 2], [3, 4]],), [[1, 3], [2, 4]]),
        (([],), []),
        (([[1, 2, 3]],), [[1], [2], [3]]),
        (([[1], [2]],), [[1, 2]]),
        (([[5]],), [[5]]),
    ),
    (
        '''
def merge_ranges(ranges):
    """Join overlapping or touching ranges (start, end) and return them as a sorted list of tuples.

    >>> merge_ranges([(1, 3), (2, 5), (8, 9)])
    [(1, 5), (8, 9)]
    """
''',
        """
    merged = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
""",
        (([(1, 3), (2, 5), (8, 9)],), [(1, 5), (8, 9)]),
        (([],), []),
        (([(4, 6), (1, 2)],), [(1, 2), (4, 6)]),
        (([(1, 10), (2, 3)],), [(1, 10)]),
        (([(1, 2), (2, 3)],), [(1, 3)]),
    ),
    (
        '''
def require_keys(record, keys):
    """Return True if the dict record has all of the keys; raise KeyError with the first one that is missing."""
''',
        "    for key in keys:\n        if key not in record:\n            raise KeyError(key)\n    return True\n",
        (({"a": 1}, ["a"]), True),
        (({}, []), True),
        (({"a": 1}, ["b"]), KeyError),
        (({}, ["x", "y"]), KeyError),
        (({"a": 0, "b": 0}, ["b", "a"]), True),
    ),
    (
        '''
def pairs_with_sum(numbers, target):
    """Return in how many ways two different places of the list can be chosen whose numbers add up to target."""
''',
        """
    count = 0
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            if numbers[i] + numbers[j] == target:
                count += 1
    return count
""",
        (([1, 2, 3, 4], 5), 2),
        (([], 0), 0),
        (([2], 4), 0),
        (([2, 2, 2], 4), 3),
        (([0, 0], 1), 0),
    ),
)
