"""What a model and its exports are compared on: fixed prompts to go on from, and a fixed text to score.

They are short and ordinary on purpose: what is compared is arithmetic, not skill. Written for this; no task of any
suite is among them.
"""

from __future__ import annotations

from typing import NamedTuple

PROMPTS = (
    'def moving_average(values, width):\n    """Means of `width` neighbours."""\n',
    "export function groupBy<T>(items: T[], key: (item: T) => string): Map<string, T[]> {\n",
    "func reverse(words []string) []string {\n\tfor left, right := 0, len(words)-1;",
    "public static int countLines(Path file) throws IOException {\n    try (",
    "SELECT customer_id, SUM(amount) AS total\nFROM payments\nWHERE",
    "contract Savings {\n    mapping(address => uint256) public balance;\n\n    function put() external payable {\n",
    '#!/usr/bin/env bash\nset -euo pipefail\n\nfor file in "$@"; do\n',
    "class Node:\n    def __init__(self, value, left=None, right=None):\n        self.value = value\n",
)
"""Code in eight languages or forms, each to be gone on from."""


class Hole(NamedTuple):
    """A text with a hole."""

    prefix: str
    suffix: str


HOLE = Hole(
    "def area(width, height):\n    if width < 0 or height < 0:\n        raise ", "\n    return width * height\n"
)
CHAT = ({"role": "user", "content": "Write a Python function that tells whether a word is a palindrome."},)

TEXT = '''"""Stock of a small warehouse."""

from dataclasses import dataclass, field


@dataclass
class Shelf:
    """Boxes of one kind, oldest first."""

    kind: str
    boxes: list[int] = field(default_factory=list)

    def add(self, count: int) -> None:
        if count <= 0:
            raise ValueError(f"{count} is no number of pieces")
        self.boxes.append(count)

    def take(self, wanted: int) -> int:
        """Take pieces out of the oldest boxes; gives how many there were."""
        taken = 0
        while self.boxes and taken < wanted:
            part = min(self.boxes[0], wanted - taken)
            self.boxes[0] -= part
            taken += part
            if self.boxes[0] == 0:
                self.boxes.pop(0)
        return taken


def report(shelves: dict[str, Shelf]) -> str:
    rows = [(name, sum(shelf.boxes)) for name, shelf in sorted(shelves.items())]
    width = max((len(name) for name, _ in rows), default=0)
    return "\\n".join(f"{name:<{width}} {count:>6}" for name, count in rows)

// orders.ts
export interface Order {
  id: string;
  lines: { sku: string; quantity: number; price: number }[];
}

export function total(order: Order, discount = 0): number {
  const sum = order.lines.reduce((part, line) => part + line.quantity * line.price, 0);
  return Math.round(sum * (1 - discount) * 100) / 100;
}

// store.go
func (s *Store) Get(key string) (string, error) {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	value, ok := s.values[key]
	if !ok {
		return "", fmt.Errorf("no value for %q", key)
	}
	return value, nil
}
'''
"""Code that is scored, in three languages."""
