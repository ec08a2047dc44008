"""Where a value goes into a variable, by language: the nodes that define a name, and where their value stands.

A rule is `KIND TARGET SOURCE [OPERATOR…]`. A place is the name of a field, `#0` for the first named child (`#-1` the
last), or `*` for all of them; a source may also be `-` (none: a parameter) or `=` (the target itself: a counter). With
operators a rule holds only for nodes that have one of them.
"""

from __future__ import annotations

_PYTHON = """
    assignment left right; augmented_assignment left right; named_expression name value; for_statement left right
    for_in_clause left right; parameters * -; lambda_parameters * -; default_parameter name value
    typed_default_parameter name value; as_pattern alias #0
"""
_ECMASCRIPT = """
    variable_declarator name value; assignment_expression left right; augmented_assignment_expression left right
    for_in_statement left right; formal_parameters * -; arrow_function parameter -; assignment_pattern left right
    object_assignment_pattern left right; update_expression argument =; catch_clause parameter -
    required_parameter pattern value; optional_parameter pattern value
"""
_JAVA = """
    variable_declarator name value; assignment_expression left right; enhanced_for_statement name value
    formal_parameter name -; catch_formal_parameter name -; resource name value; inferred_parameters * -
    lambda_expression parameters -; update_expression #0 =
"""
_GO = """
    short_var_declaration left right; var_spec name value; const_spec name value; assignment_statement left right
    range_clause left right; parameter_declaration name -; variadic_parameter_declaration name -; inc_statement #0 =
    dec_statement #0 =
"""
_C = """
    init_declarator declarator value; declaration declarator -; parameter_declaration declarator -
    assignment_expression left right; update_expression argument =
"""
_CPP = f"""{_C}
    for_range_loop declarator right; optional_parameter_declaration declarator default_value
"""
_RUST = """
    let_declaration pattern value; let_condition pattern value; assignment_expression left right
    compound_assignment_expr left right; for_expression pattern value; parameter pattern -; closure_parameters * -
    match_arm pattern -
"""
_CSHARP = """
    variable_declarator name #-1; assignment_expression left right; foreach_statement left right; parameter name -
    lambda_expression parameters -; catch_declaration name -; declaration_expression name -
    postfix_unary_expression #0 = ++ --; prefix_unary_expression #0 = ++ --
"""
_PHP = """
    assignment_expression left right; augmented_assignment_expression left right; foreach_statement #1 #0
    simple_parameter name default_value; variadic_parameter name -; catch_clause name -; update_expression #0 =
    static_variable_declaration name value
"""
_RUBY = """
    assignment left right; operator_assignment left right; for pattern value; method_parameters * -
    block_parameters * -; lambda_parameters * -; optional_parameter name value; exception_variable #0 -
"""
_LUA = """
    assignment_statement #0 #1; for_generic_clause #0 #1; for_numeric_clause name start; parameters * -
"""
_KOTLIN = """
    property_declaration #1 #-1; assignment #0 #1; for_statement #0 #1; parameter #0 -; lambda_parameters * -
    postfix_expression #0 = ++ --; prefix_expression #0 = ++ --
"""
_SCALA = """
    val_definition pattern value; var_definition pattern value; assignment_expression left right
    enumerator #0 #1; parameter name default_value; lambda_expression parameters -; case_clause pattern -
"""
_SOLIDITY = """
    variable_declaration_statement #0 value; assignment_expression left right
    augmented_assignment_expression left right; parameter name -; update_expression argument =
"""
_SWIFT = """
    property_declaration name value; assignment target result; for_statement item collection; parameter name -
    if_statement bound_identifier condition; guard_statement bound_identifier condition
    lambda_parameter name -
"""
_R = """
    binary_operator lhs rhs <- = <<-; binary_operator rhs lhs -> ->>; for_statement variable sequence
    parameter name default
"""
_JULIA = """
    assignment #0 #-1; compound_assignment_expression #0 #-1; for_binding #0 #-1; argument_list * -
    arrow_function_expression #0 -
"""
_BASH = "variable_assignment name value; for_statement variable value"
_PERL = "assignment_expression left right; for_statement variable list; postinc_expression #0 ="
_DART = """
    initialized_variable_definition name value; assignment_expression left right; for_loop_parts name value
    formal_parameter name -
"""
_TEXTS = {
    "bash": _BASH, "c": _C, "cpp": _CPP, "csharp": _CSHARP, "dart": _DART, "go": _GO, "java": _JAVA,
    "javascript": _ECMASCRIPT, "julia": _JULIA, "kotlin": _KOTLIN, "lua": _LUA, "perl": _PERL, "php": _PHP,
    "python": _PYTHON, "r": _R, "ruby": _RUBY, "rust": _RUST, "scala": _SCALA, "solidity": _SOLIDITY,
    "swift": _SWIFT, "tsx": _ECMASCRIPT, "typescript": _ECMASCRIPT,
}  # fmt: skip

Rule = tuple[str, str, frozenset[str]]


def _read(text: str) -> dict[str, tuple[Rule, ...]]:
    found: dict[str, tuple[Rule, ...]] = {}
    for line in text.replace("\n", ";").split(";"):
        if words := line.split():
            kind, target, source, *operators = words
            found[kind] = (*found.get(kind, ()), (target, source, frozenset(operators)))
    return found


RULES = {language: _read(text) for language, text in _TEXTS.items()}
"""Language → kind of node → its rules."""
