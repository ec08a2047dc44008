"""The taint engine: programs become one small form (`ir.py`), which is run on abstract values (`run.py`).

What is known of a language and its frameworks stands in tables (`rules/`), not in code: where untrusted values come
from, where they do harm, what makes them harmless, and which calls are a misuse by themselves.
"""
