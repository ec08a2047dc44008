"""Tasks about numbers: (prompt, solution, calls…); a call is (arguments as a tuple or one bare argument, value)."""

from __future__ import annotations

from typing import Any

NUMBERS: tuple[tuple[Any, ...], ...] = (
    (
        '''
def add_tax(price, percent):
    """Return price plus percent of it. For example add_tax(200, 10) is 220.0."""
''',
        "    return price + price * percent / 100\n",
        ((200, 10), 220.0),
        ((100, 0), 100.0),
        ((0, 21), 0.0),
        ((50, 50), 75.0),
        ((80, 25), 100.0),
    ),
    (
        '''
def is_even(number):
    """Return True if number is even, otherwise False."""
''',
        "    return number % 2 == 0\n",
        (4, True),
        (7, False),
        (0, True),
        (-3, False),
        (-8, True),
        (10**20, True),
    ),
    (
        '''
def largest_of_three(a, b, c):
    """Return the largest of the three numbers a, b and c."""
''',
        "    return max(a, b, c)\n",
        ((1, 2, 3), 3),
        ((9, 2, 3), 9),
        ((1, 8, 3), 8),
        ((-1, -2, -3), -1),
        ((5, 5, 5), 5),
    ),
    (
        '''
def keep_between(value, low, high):
    """Return value, but low if it is below low, and high if it is above high.

    >>> keep_between(12, 0, 10)
    10
    """
''',
        "    return max(low, min(high, value))\n",
        ((12, 0, 10), 10),
        ((-1, 0, 10), 0),
        ((5, 0, 10), 5),
        ((0, 0, 10), 0),
        ((10, 0, 10), 10),
        ((2.5, 1, 2), 2),
    ),
    (
        '''
def celsius_a_fahrenheit(grados):
    """Convierte grados Celsius a grados Fahrenheit: multiplica por 9/5 y suma 32."""
''',
        "    return grados * 9 / 5 + 32\n",
        (0, 32.0),
        (100, 212.0),
        (-40, -40.0),
        (37, 98.6),
        (10, 50.0),
    ),
    (
        '''
def digit_sum(number):
    """Return the sum of the decimal digits of a whole number; the sign does not matter.

    >>> digit_sum(305)
    8
    """
''',
        "    return sum(int(digit) for digit in str(abs(number)))\n",
        (305, 8),
        (0, 0),
        (-19, 10),
        (7, 7),
        (99999, 45),
        (1000000, 1),
    ),
    (
        '''
def count_divisors(n):
    """Return how many positive whole numbers divide the positive whole number n without remainder.

    >>> count_divisors(6)
    4
    """
''',
        "    return sum(1 for d in range(1, n + 1) if n % d == 0)\n",
        (6, 4),
        (1, 1),
        (13, 2),
        (16, 5),
        (36, 9),
        (100, 9),
    ),
    (
        '''
def es_primo(n):
    """Devuelve True si el entero n es un número primo y False si no lo es (0, 1 y los negativos no lo son)."""
''',
        """
    if n < 2:
        return False
    for d in range(2, int(n ** 0.5) + 1):
        if n % d == 0:
            return False
    return True
""",
        (2, True),
        (1, False),
        (0, False),
        (-7, False),
        (9, False),
        (97, True),
        (91, False),
    ),
    (
        '''
def power_of_two(n):
    """Return True if the whole number n is 1, 2, 4, 8, 16 and so on, otherwise False."""
''',
        "    return n > 0 and n & (n - 1) == 0\n",
        (1, True),
        (2, True),
        (3, False),
        (0, False),
        (64, True),
        (-4, False),
        (96, False),
    ),
    (
        '''
def sum_of_squares(n):
    """Return 1*1 + 2*2 + ... + n*n, and 0 when n is 0."""
''',
        "    return sum(i * i for i in range(1, n + 1))\n",
        (0, 0),
        (1, 1),
        (2, 5),
        (3, 14),
        (10, 385),
    ),
    (
        '''
def greatest_common_divisor(a, b):
    """Return the greatest common divisor of two positive whole numbers.

    >>> greatest_common_divisor(12, 18)
    6
    """
''',
        """
    while b:
        a, b = b, a % b
    return a
""",
        ((12, 18), 6),
        ((7, 5), 1),
        ((10, 10), 10),
        ((1, 99), 1),
        ((100, 75), 25),
        ((8, 32), 8),
    ),
    (
        '''
def staircase_ways(steps):
    """Return in how many ways one can climb a staircase taking one or two steps at a time.

    staircase_ways(0) is 1, staircase_ways(3) is 3.
    """
''',
        """
    a, b = 1, 1
    for _ in range(steps):
        a, b = b, a + b
    return a
""",
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 3),
        (5, 8),
        (10, 89),
    ),
    (
        '''
def minutes_to_clock(minutes):
    """Return minutes since midnight as text "HH:MM" with two digits each.

    >>> minutes_to_clock(75)
    '01:15'
    """
''',
        '    return f"{minutes // 60:02d}:{minutes % 60:02d}"\n',
        (75, "01:15"),
        (0, "00:00"),
        (59, "00:59"),
        (600, "10:00"),
        (1439, "23:59"),
    ),
    (
        '''
def average(numbers):
    """Return the arithmetic mean of a list of numbers, or None if the list is empty."""
''',
        "    return sum(numbers) / len(numbers) if numbers else None\n",
        ([1, 2, 3], 2.0),
        ([], None),
        ([5], 5.0),
        ([1, 2], 1.5),
        ([-2, 2], 0.0),
        ([0.5, 1.5, 4], 2.0),
    ),
    (
        '''
def es_bisiesto(anio):
    """Devuelve True si el año es bisiesto / Return True if the year is a leap year.

    Divisible entre 4, pero no entre 100, salvo que lo sea entre 400.
    """
''',
        "    return anio % 4 == 0 and (anio % 100 != 0 or anio % 400 == 0)\n",
        (2024, True),
        (2023, False),
        (1900, False),
        (2000, True),
        (2100, False),
        (1996, True),
    ),
    (
        '''
def safe_divide(a, b):
    """Return a divided by b, or 0 when b is 0."""
''',
        "    return a / b if b != 0 else 0\n",
        ((6, 3), 2.0),
        ((1, 0), 0),
        ((0, 5), 0.0),
        ((7, 2), 3.5),
        ((-9, 3), -3.0),
    ),
    (
        '''
def coins_needed(amount, coins):
    """Return the least number of coins that add up to amount, or -1 if that is impossible.

    Each value in the list coins may be used any number of times.
    """
''',
        """
    best = [0] + [None] * amount
    for total in range(1, amount + 1):
        options = [best[total - c] for c in coins if c <= total and best[total - c] is not None]
        best[total] = min(options) + 1 if options else None
    return -1 if best[amount] is None else best[amount]
""",
        ((11, [1, 2, 5]), 3),
        ((0, [2]), 0),
        ((3, [2]), -1),
        ((6, [1, 3, 4]), 2),
        ((100, [25, 10]), 4),
    ),
    (
        '''
def round_up_to_multiple(number, step):
    """Return the smallest multiple of step that is not less than number; both are positive whole numbers.

    >>> round_up_to_multiple(13, 5)
    15
    """
''',
        "    return (number + step - 1) // step * step\n",
        ((13, 5), 15),
        ((15, 5), 15),
        ((1, 8), 8),
        ((16, 8), 16),
        ((7, 1), 7),
    ),
)
