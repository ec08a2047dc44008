"""What JavaScript, TypeScript and TSX have in common: how their grammars name functions."""

from __future__ import annotations

FUNCTIONS = """
    (function_declaration name: (_) @name body: (_) @body) @function
    (generator_function_declaration name: (_) @name body: (_) @body) @function
    (method_definition name: (_) @name body: (_) @body) @function
    (variable_declarator name: (identifier) @name value: (arrow_function body: (_) @body)) @function
    (variable_declarator name: (identifier) @name value: (function_expression body: (_) @body)) @function
"""
