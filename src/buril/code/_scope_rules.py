"""What the grammars of the languages with blocks call their scopes, their declarations and their names.

A place where a name stands is told by the kind of the node above it and the field it has there; `*` means any field.
What no table lists is not guessed at: the name is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


def _set(*groups: str) -> frozenset[str]:
    return frozenset(word for group in groups for word in group.split())


@dataclass(frozen=True)
class Rules:
    """The facts of one language.

    Attributes:
        functions: kinds that are a unit where no other is around them.
        scopes: kinds that end the life of what is declared in them, functions left out.
        binds: places that declare, as `kind field`; what stands there may be a pattern.
        hoists: kinds of two nodes, one in the other, whose names live in the whole function (`var`).
        outer: those of `binds` that are a function's own name, which lives around it.
        patterns: kinds that only group or mark what is declared in them, as `kind field`.
        refs: places where a name is looked up.
        other: places where a name is none of a variable (members, methods).
        other_kinds: kinds of leaves that are none of a variable.
        closed_kinds: kinds in which names may also come from elsewhere (bodies of classes): nothing in them is touched.
        late: kinds of statements whose names are known only after them.
        whole: whether a name is known in all of its scope, before its declaration too.
        dynamic: words that reach variables by another way; the file is refused.
        marks: kinds beside a declared name that let others see it (annotations, TypeScript's `private x`).
        small: whether only names without capitals are declared by a pattern (Rust's constants look like bindings).
        spelling: functions of the preprocessor that put the text of their arguments into the program.
        macros: whether a call in capitals may use names it is not given; the unit is left alone.
    """

    functions: frozenset[str]
    scopes: frozenset[str]
    binds: frozenset[str]
    refs: frozenset[str]
    patterns: frozenset[str] = frozenset()
    hoists: frozenset[str] = frozenset()
    outer: frozenset[str] = frozenset()
    other: frozenset[str] = frozenset()
    other_kinds: frozenset[str] = frozenset()
    closed_kinds: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    whole: bool = False
    dynamic: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    small: bool = False
    macros: bool = False
    spelling: frozenset[str] = frozenset()


def _places(*lines: str) -> frozenset[str]:
    """`kind: field field` as places; a kind alone stands for any field."""
    found = set()
    for line in lines:
        for part in line.split(";"):
            kind, _colon, fields = part.strip().partition(":")
            found |= {f"{kind} {field}" for field in fields.split()} if fields else {f"{kind} *"}
    return frozenset(found)


_ECMASCRIPT = Rules(
    functions=_set("function_declaration function_expression arrow_function method_definition",
                   "generator_function_declaration generator_function"),
    scopes=_set("statement_block for_statement for_in_statement catch_clause switch_body"),
    binds=_places("variable_declarator: name; for_in_statement: left; catch_clause: parameter; formal_parameters",
                  "arrow_function: parameter; function_declaration: name; generator_function_declaration: name",
                  "required_parameter: pattern; optional_parameter: pattern"),
    hoists=frozenset({"variable_declaration variable_declarator"}),
    outer=_places("function_declaration: name; generator_function_declaration: name"),
    patterns=_places("array_pattern; object_pattern; rest_pattern; assignment_pattern: left; pair_pattern: value",
                     "object_assignment_pattern: left; formal_parameters"),
    refs=_places("arguments; array; arrow_function: body; assignment_expression: left right",
                 "assignment_pattern: right; augmented_assignment_expression: left right; await_expression",
                 "binary_expression: left right; call_expression: function; class_heritage; computed_property_name",
                 "for_in_statement: right; member_expression: object; new_expression: constructor",
                 "object_assignment_pattern: right; pair: value; parenthesized_expression; return_statement",
                 "sequence_expression; spread_element; subscript_expression: index object; template_substitution",
                 "ternary_expression: alternative condition consequence; throw_statement; unary_expression: argument",
                 "update_expression: argument; variable_declarator: value; expression_statement; yield_expression",
                 "for_statement: condition increment; jsx_expression; as_expression; non_null_expression",
                 "satisfies_expression; type_query; required_parameter: value; optional_parameter: value; switch_case"),
    other_kinds=_set("property_identifier statement_identifier private_property_identifier regex_pattern regex_flags"),
    dynamic=_set("eval"),
    marks=_set("accessibility_modifier override_modifier readonly decorator"),
    whole=True,
)  # fmt: skip

_JAVA = Rules(
    functions=_set("method_declaration constructor_declaration"),
    scopes=_set("block for_statement enhanced_for_statement catch_clause lambda_expression switch_block"
                " switch_block_statement_group switch_rule try_with_resources_statement constructor_body"),
    binds=_places("variable_declarator: name; enhanced_for_statement: name; catch_formal_parameter: name",
                  "formal_parameter: name; inferred_parameters; lambda_expression: parameters"),
    refs=_places("argument_list; array_access; assignment_expression: left right; binary_expression: left right",
                 "cast_expression: value; dimensions_expr; enhanced_for_statement: value; field_access: object",
                 "instanceof_expression: left; method_invocation: object; parenthesized_expression; return_statement",
                 "ternary_expression; unary_expression: operand; update_expression; variable_declarator: value",
                 "array_initializer; throw_statement; lambda_expression: body; for_statement: condition"),
    other=_places("field_access: field; method_invocation: name; annotation: name; marker_annotation: name",
                  "element_value_pair: key; scoped_identifier"),
    other_kinds=_set("type_identifier"),
    closed_kinds=_set("class_body"),
    marks=_set("modifiers"),
)  # fmt: skip

_GO = Rules(
    functions=_set("function_declaration method_declaration func_literal"),
    scopes=_set("block for_statement if_statement expression_switch_statement type_switch_statement select_statement",
                "expression_case default_case type_case communication_case"),
    binds=_places("short_var_declaration: left; range_clause: left; var_spec: name; const_spec: name",
                  "parameter_declaration: name; variadic_parameter_declaration: name"),
    patterns=_places("expression_list"),
    refs=_places("argument_list; binary_expression: left right; call_expression: function; dec_statement",
                 "inc_statement; expression_list; expression_switch_statement: value; if_statement: condition",
                 "index_expression: index operand; range_clause: right; selector_expression: operand",
                 "send_statement: channel value; slice_expression; type_assertion_expression: operand",
                 "type_conversion_expression: operand; type_switch_statement: value; unary_expression: operand",
                 "variadic_argument; parenthesized_expression; var_spec: value; for_clause: condition",
                 "for_statement; return_statement; expression_statement; go_statement; defer_statement"),
    other_kinds=_set("field_identifier label_name package_identifier"),
    late=_set("short_var_declaration range_clause var_spec const_spec"),
)  # fmt: skip

_C = Rules(
    functions=_set("function_definition"),
    scopes=_set("compound_statement for_statement if_statement while_statement switch_statement do_statement"),
    binds=_places("declaration: declarator; init_declarator: declarator; parameter_declaration: declarator"),
    patterns=_places("pointer_declarator: declarator; array_declarator: declarator; init_declarator: declarator"),
    refs=_places("argument_list; array_declarator: size; assignment_expression: left right",
                 "binary_expression: left right; call_expression: function; case_statement: value",
                 "cast_expression: value; comma_expression: left right; field_expression: argument",
                 "conditional_expression: alternative condition consequence; init_declarator: value",
                 "for_statement: condition update initializer; initializer_list; initializer_pair: value",
                 "parenthesized_expression; pointer_expression: argument; return_statement; sizeof_expression: value",
                 "subscript_expression: argument index indices; unary_expression: argument",
                 "update_expression: argument",
                 "gnu_asm_input_operand: value; gnu_asm_output_operand: value; expression_statement"),
    other_kinds=_set("field_identifier statement_identifier primitive_type"),
    closed_kinds=_set("type_descriptor"),
    macros=True,
    spelling=_set("assert static_assert _Static_assert"),
)  # fmt: skip

_CPP = replace(
    _C,
    functions=_set("function_definition lambda_expression"),
    scopes=_C.scopes | _set("for_range_loop catch_clause try_statement condition_clause"),
    binds=_C.binds | _places("for_range_loop: declarator; optional_parameter_declaration: declarator"),
    patterns=_C.patterns | _places("reference_declarator; structured_binding_declarator"),
    refs=_C.refs | _places("lambda_capture_specifier; for_range_loop: right; condition_clause: value; throw_statement",
                           "initializer_list; subscript_argument_list; optional_parameter_declaration: default_value",
                           "new_declarator: length; delete_expression; co_return_statement; fold_expression"),
    other=_places("qualified_identifier: name"),
    other_kinds=_C.other_kinds | _set("namespace_identifier auto"),
    closed_kinds=_C.closed_kinds | _set("field_declaration_list template_argument_list requires_clause"),
)  # fmt: skip

_RUST = Rules(
    functions=_set("function_item closure_expression"),
    scopes=_set("block match_arm for_expression if_expression while_expression match_block let_chain"),
    binds=_places("let_declaration: pattern; parameter: pattern; closure_parameters; for_expression: pattern",
                  "let_condition: pattern; match_arm: pattern"),
    patterns=_places("match_pattern; tuple_pattern; tuple_struct_pattern; mut_pattern; reference_pattern",
                     "ref_pattern; slice_pattern; or_pattern; closure_parameters"),
    refs=_places("arguments; assignment_expression: left right; binary_expression: left right; block",
                 "call_expression: function; compound_assignment_expr: left right; field_expression: value",
                 "field_initializer: value; for_expression: value; if_expression: condition; index_expression",
                 "let_condition: value; let_declaration: value; match_expression: value; parenthesized_expression",
                 "range_expression; reference_expression: value; return_expression; tuple_expression",
                 "type_cast_expression: value; unary_expression; array_expression; try_expression; match_arm: value",
                 "expression_statement; while_expression: condition; break_expression; closure_expression: body",
                 "match_pattern: condition; await_expression; let_chain"),
    other=_places("tuple_struct_pattern: type; scoped_identifier; field_initializer: field"),
    other_kinds=_set("field_identifier primitive_type"),
    closed_kinds=_set("function_item impl_item mod_item macro_definition const_item static_item"),
    late=_set("let_declaration"),
    small=True,
)  # fmt: skip

RULES = {
    "javascript": _ECMASCRIPT,
    "typescript": _ECMASCRIPT,
    "tsx": _ECMASCRIPT,
    "java": _JAVA,
    "go": _GO,
    "c": _C,
    "cpp": _CPP,
    "rust": _RUST,
}
