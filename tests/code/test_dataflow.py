from __future__ import annotations

from collections import Counter

import pytest

from buril.code.dataflow import FLOWING, edges
from buril.code.language import languages
from buril.code.parse import parse
from buril.code.subtrees import Shapes

SOURCES = {
    "bash": ('f() {\n  local x=$1\n  y="$x/a"\n  for i in $y; do echo ${i}; done\n}\n', "y<x x=x i<y y=y i=i"),
    "c": ("int f(int a, int *b){ int x = a; x += a; b[x] = a; x++; return p->a; }",
          "x=a a=a x<x,a a=a b=a x=x a=a x<x"),
    "cpp": ("int f(int a){ for (auto x : a) { y = x + 1; } }", "x=a a=a y<x x=x"),
    "csharp": ("int F(int a){ var x = a; foreach (var y in x) { a.b = y; } x++; return -x; }",
               "x=a a=a y=x x=x a=y y=y x<x x=x"),
    "dart": ("int f(int a) { var x = a; for (var i in x) { x += i; } return x; }", "x=a a=a i=x x=x x<x,i i=i x=x"),
    "go": ("package m\nfunc f(a, b int) int { x := a; x, a = a, x; for _, v := range b { x += v }; x++; return x.a }",
           "x=a a=a x=a a=x a=a x=x _=b v=b b=b x<x,v v=v x<x x=x"),
    "java": ("int f(int a) { int x = a + 1; for (int i : a.x) { x += i; } x++; return o.x(a); }",
             "x<a a=a i<a a=a x<x,i i=i x<x a=a"),
    "javascript": ("function f({a, b: c}, d = 1) { const {x} = a; let y = z => z + x; y.a = d; }",
                   "x=a a=a z=z x=x y=d d=d"),
    "julia": ("function f(a)\n x = a\n x += a\n for i in x\n  a = i\n end\nend\n",
              "x=a a=a x<x,a a=a i=x x=x a=i i=i"),
    "kotlin": ("fun f(a: Int): Int { val x = a\n for (i in x) { a.x = i }\n return x }", "x=a a=a i=x x=x a=i i=i x=x"),
    "lua": ("local function f(a)\n local x = a\n for i, v in pairs(x) do a.b = v end\n return x.a\nend\n",
            "x=a a=a i<x v<x x=x a=v v=v x=x"),
    "perl": ("sub f {\n my ($a, $b) = @_;\n my $x = $a;\n foreach my $i ($x) { $x += $i; }\n}\n",
             "x<a a=a i<x x=x x<x,i i=i"),
    "php": ("<?php function f($a){ $x = $a; foreach ($x as $k => $v) { $a->x = $v; } }", "$x=$a $a=$a $x=$x $k=$x $v=$x $a=$v $v=$v"),
    "python": ("def f(a, *b, c: int = 1):\n    x, y = a, b\n    x += c\n    for i in y:\n        a[i] = x.y\n"
               "    with open(a) as h:\n        return g(c=x)\n",
               "x=a y=b a=a b=b x<x,c c=c i=y y=y a<x i=i x=x a=a h<a x=x"),
    "r": ("f <- function(a) {\n x <- a\n x -> y\n a == y\n}\n", "x=a a=a x=x y=x a=a y=y"),
    "ruby": ("def f(a, b = 1)\n  x, y = b, a\n  x.each { |v| y += v }\n  y.x\nend\n", "x=b y=a b=b a=a x=x y<y,v v=v y=y"),
    "rust": ("fn f(a: i32) -> i32 { let (x, mut y) = (a, 1); y += x; for i in y { y = i; } y.x }",
             "x=a a=a y<y,x x=x i=y y=y y=i i=i y=y"),
    "scala": ("def f(a: Int): Int = { val x = a; for (i <- x) { g(i.a) }; x }", "x=a a=a i=x x=x i=i x=x"),
    "solidity": ("contract C { function f(uint a) public { uint x = a; x += a; (uint p, uint q) = g(x); p++; } }",
                 "x=a a=a x<x,a a=a p<x q<x x=x p<p"),
    "swift": ("func f(b a: Int) -> Int { let x = a; for i in x { y = i }; return x.a }", "x=a a=a i=x x=x y=i i=i x=x"),
}  # fmt: skip


def told(language: str, source: str) -> str:
    """Edges with names for numbers: `=` for a copy, `<` for what is computed."""
    tree = parse(language, source.encode())
    found = edges(language, tree)
    assert found is not None
    text, names = source.encode(), dict[int, str]()
    for edge in found:
        node = tree.root_node.descendant_for_byte_range(edge.byte, edge.byte + 1)
        assert node is not None
        if text[edge.byte : edge.byte + 1] == b"$":
            node = node.parent
        assert node is not None and node.text is not None
        assert names.setdefault(edge.target, node.text.decode()) == node.text.decode()
    return " ".join(
        names[edge.target] + ("=" if edge.copied else "<") + ",".join(names[one] for one in edge.sources)
        for edge in found
    )


@pytest.mark.parametrize("language", sorted(SOURCES))
def test_values_flow_in_every_language_with_tables(language: str) -> None:
    source, wanted = SOURCES[language]
    assert not parse(language, source.encode()).root_node.has_error
    assert told(language, source) == wanted


def test_languages_without_variables_have_no_flow() -> None:
    assert set(SOURCES) | {"typescript", "tsx"} == set(FLOWING)
    assert set(languages()) - set(FLOWING) == {"css", "haskell", "html", "ocaml", "ocaml_interface", "sql"}
    assert edges("haskell", parse("haskell", b"f x = x\n")) is None


@pytest.mark.parametrize("language", ["typescript", "tsx"])
def test_typescript_flows_as_javascript_does(language: str) -> None:
    source = "function f(a: number, b?: string) { const x: number = a; return (y: A) => x + y + b; }"
    assert told(language, source) == "x=a a=a x=x y=y b=b"


def test_other_names_give_the_same_edges_and_another_flow_does_not() -> None:
    def flow(source: str) -> list[tuple[object, ...]]:
        return [edge[1:] for edge in edges("python", parse("python", source.encode())) or []]

    first = flow("def f(a, b):\n    c = a - b\n    return c\n")
    assert first == flow("def g(left, right):\n    found = left - right\n    return found\n")
    assert first != flow("def f(a, b):\n    c = b - a\n    return c\n")


def test_subtrees_are_counted_without_names_and_comments() -> None:
    shapes = Shapes()

    def of(source: str, start: int = 0) -> Counter[int]:
        return shapes.of(parse("python", source.encode()), start_byte=start)

    first = of("x = f(a)\n")
    # module, assignment, call, argument_list
    assert first.total() == 4
    assert first == of("y = g(b)  # as above\n") != of("y = g(1)\n")
    assert of("f(a)\nf(b)\n")[max(of("f(a)\n"))] == 0, "the whole file is another"
    assert of("f(a)\nf(b)\n").most_common(1)[0][1] == 2
    assert of("f(a)\nf(b)\n", start=5).total() == 2


def test_a_deep_text_needs_no_recursion() -> None:
    source = "x = " + "(" * 900 + "1" + ")" * 900
    assert Shapes().of(parse("python", source.encode())).total() == 902
    assert edges("python", parse("python", source.encode())) == []
