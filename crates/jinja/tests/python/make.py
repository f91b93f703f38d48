"""Renders the constructs below with Python's jinja2 and writes table.json beside this file.

    pip install jinja2==3.1.6 && python make.py

Each entry holds the source and what jinja2 prints, or null where jinja2 itself fails. The environment is the plain one,
`jinja2.Environment()`, which is promptsource's too (it adds `zip` as a global, and so does this). Undefined names are
not in this table: jinja2 prints them as nothing, which is what we refuse.
"""

import json
import pathlib

import jinja2

# Keys of dictionaries are in order: a reader in Rust may sort them.
ROW = {
    "text": "Der Zürich-See ist 88,17 km² groß… 日本語 naïve 🙂 end.",
    "para": "First line.\nSecond line, with 'quotes' and \"more\".\r\nThird\tline.\n\nLast",
    "padded": "  \u00a0 two words\t\n",
    "name": "harry potter and the half-blood prince's son",
    "upper": "ÉCOLE ß ǆ ŉ",
    "digits": "00423",
    "html": "<b>5 > 3 & \"x\" 'y'</b>",
    "pct": "100% of %s",
    "n": 7,
    "neg": -3,
    "zero": 0,
    "big": 12345678901234567890,
    "f": 2.5,
    "whole": 3.0,
    "tiny": 0.00001,
    "huge": 1e16,
    "third": 1 / 3,
    "yes": True,
    "no": False,
    "none": None,
    "empty": [],
    "choices": ["red", "green", "blue"],
    "mixed": ["it's", 'say "hi"', 'both \' and "', "line\nbreak", "tab\t\\", "é🙂\u200b\u00a0", 1, 2.0, True, None, ["x", []], {}],
    "numbers": [3, 1, 2, 10, 1],
    "floats": [0.1, 1e-5, 1e16, 123456789.125, -0.0, 1e22],
    "words": ["banana", "apple", "Cherry", "apple", "date"],
    "d": {"a": [1, "two"], "b": 1, "c": {"x": None}},
    "rows": [
        {"age": 31, "city": "Oslo", "name": "Ann"},
        {"age": 25, "city": "Rome", "name": "Bob"},
        {"age": 31, "city": "oslo", "name": "Cyd"},
    ],
    "endings": {"label": ["A", "B", "C"], "text": ["one", "two", "three"]},
}

CASES = []


def add(*sources):
    CASES.extend(sources)


# Slices of text and lists.
for name in ["text", "choices", "digits", "numbers"]:
    for cut in [":5", "5:", "1:3", ":-1", "-3:", "-4:-1", "::2", "1::2", "::-1", "-1::-1", "3:1:-1", "5:1:-2", "-2:-5:-1",
                ":100", "100:", "2:2", "3:1", ":", "::", "0:-0", ":n", "n-6:n-3", ":none", "-100:2", "100::-1", "::n", "1:-1:2"]:
        add("{{ %s[%s] }}" % (name, cut))
add("{{ choices[1:][0] }}", "{{ text[:5][::-1] }}", "{{ choices[:2]|join(', ') }}", "{{ choices[:2]|length }}",
    "{{ choices[:0] or 'nothing' }}", "{% if choices[3:] %}y{% else %}n{% endif %}", "{{ choices[1:] == ['green', 'blue'] }}",
    "{{ choices[:2] + ['x'] }}", "{{ (choices[:2])[-1] }}", "{{ choices[1:2] is sequence }}", "{{ text[0] }}{{ text[-1] }}{{ text[8] }}",
    "{{ choices[0] }} {{ choices[-1] }}", "{{ choices.0 }}", "{{ d['b'] }} {{ d.b }} {{ d['a'][1] }} {{ d.a.1 }}", "{{ 'abc'[1] }}",
    "{{ text[:10].upper() }}", "{{ text[:500] }}", "{{ text.split()[1:3] }}", "{{ [1,2,3][:2] }}", "{{ (1,2,3)[:2] }}", "{{ (1,)[0:] }}",
    "{{ choices[::-1][0] }}", "{{ rows[:1] }}", "{{ rows[0]['name'][:2] }}", "{{ text[n] }}", "{{ choices[true] }}", "{{ text[1:true] }}",
    "{{ choices[1.0] }}", "{{ text[:2.0] }}", "{{ text[::0] }}")

# Printing.
add("{{ yes }} {{ no }} {{ none }}", "{{ n }} {{ neg }} {{ big }} {{ f }} {{ whole }} {{ tiny }} {{ huge }} {{ third }}",
    "{{ choices }}", "{{ mixed }}", "{{ floats }}", "{{ numbers }}", "{{ d }}", "{{ rows }}", "{{ empty }}", "{{ {} }}", "{{ [] }}", "{{ () }}",
    "{{ (1,) }}", "{{ (1, 'a') }}", "{{ [(1, 2), [3]] }}", "{{ {'k': 'v', 1: none, 'x': [true]} }}", "{{ {'z': 1, 'a': 2} }}", "{{ [none, true] }}",
    "{{ ['a\"b', \"c'd\"] }}", "{{ ['\\n', '\\t', '\\\\'] }}", "{{ html }}", "{{ text }}", "{{ para }}", "{{ [text, para] }}", "{{ [padded] }}",
    "{{ 1e3 }} {{ 1.5e-7 }} {{ 1e15 }} {{ 1e17 }} {{ 123456789012345678.0 }}", "{{ 0.1 + 0.2 }}", "{{ 1_000 }}", "{{ 0x1f }} {{ 0b11 }} {{ 0o17 }}", "{{ -0.0 }}",
    "{{ 'a' 'b' }}", "{{ 'it\\'s' }}", "{{ \"tab\\there\" }}", "{{ '\\u00e9\\x41' }}", "{{ 'new\\nline' }}", "{{ upper }}", "{{ [upper] }}", "{{ d.items() }}",
    "{{ d.keys() }}", "{{ d.values() }}", "{{ d.keys()|list }}", "{{ d.items()|list }}", "{{ range(3) }}", "{{ range(3)|list }}", "{{ 'x' is defined }}",
    "{{ [1.0, 2.50, 1e-7] }}", "{{ {'f': 0.1} }}", "{{ ['\\x00', '\\x7f', '\\u200b', '\\ufeff', '\\u2028', '\\U0001f642'] }}", "{{ big * 10 }}", "{{ 2 ** 63 }}", "{{ 2 ** 200 }}")

add("{{ 'a\\/b\\bc\\fd\\qe' }}", "{{ '\\a' }}", "{{ '\\101\\0' }}", "{{ '\\N{DASH}' }}", "{{ 'say \\\\ \"x\"' }}", "\\alpha {{ n }} \\U", "{{ '\\ud83d\\ude42' }}")

# Operators.
add("{{ 7 / 2 }} {{ 6 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ 7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }}",
    "{{ 1 + 2 * 3 - 4 }}", "{{ -n ** 2 }}", "{{ 2 ** 3 ** 2 }}", "{{ -2 ** 2 }}", "{{ 'a' ~ 1 ~ none ~ true ~ 1.5 }}", "{{ 'a' ~ [1, 'b'] ~ {'k': 1} }}", "{{ 1e20 ~ '' }}", "{{ tiny ~ '|' ~ huge }}", "{{ floats ~ '' }}",
    "{{ 1 + 1.0 }}", "{{ 'a' + 'b' }}", "{{ 'ab' * 3 }}", "{{ 3 * 'ab' }}", "{{ [1] * 3 }}", "{{ [1] + [2] }}", "{{ 'a' * 0 }}", "{{ 'a' * -1 }}", "{{ 'a' + 1 }}", "{{ true + 1 }}", "{{ (1,) + (2,) }}", "{{ [1] + (2,) }}",
    "{{ 'x=%s' % 5 }}", "{{ 'x=%s y=%d' % ('a', 5) }}", "{{ pct % 'x' }}", "{{ 1 // 0 }}", "{{ 1 / 0 }}", "{{ 10 % 0 }}", "{{ n / 7 }}", "{{ 1 - 2 }}", "{{ +3 }}", "{{ - 3 }}", "{{ 3 - -3 }}", "{{ not yes }} {{ not none }} {{ not 0 }} {{ not '' }}",
    "{{ n > 5 and n < 10 }}", "{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1 != 2 }}", "{{ n == 7 }} {{ n == 7.0 }} {{ n != '7' }} {{ 1 == true }} {{ 0 == false }} {{ none == false }}", "{{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ 'é' > 'z' }}", "{{ [1, 2] < [1, 3] }}",
    "{{ 'a' < 1 }}", "{{ 'ed' in 'red' }} {{ 'red' in choices }} {{ 'x' not in choices }} {{ 'b' in d }} {{ 1 in [1.0] }} {{ '' in 'abc' }}", "{{ 1 in 'abc' }}", "{{ 3 in numbers }} {{ true in [1] }}",
    "{{ 0 or 'x' }} {{ '' or none }} {{ 'a' or 'b' }} {{ 'a' and 'b' }} {{ '' and 'b' }} {{ none and 1 }} {{ [] or {} }}", "{{ 'y' if yes else 'n' }} {{ 'y' if no else 'n' }} {{ 'only' if yes }}", "[{{ 'only' if no }}]", "{{ ('a' if no)|default('x') }}", "{{ 'a' if no else 'b' if no else 'c' }}",
    "{{ 1 if 2 > 1 else 0 }}", "{{ (1, 2) == (1, 2) }} {{ [1] == (1,) }}", "{{ {'a': 1} == {'a': 1.0} }}", "{{ 7 | string ~ 'x' }}", "{{ -1 | abs }}", "{{ 2 + 3 | string | length }}", "{{ not 1 == 2 }}", "{{ 'a' 'b' ~ 'c' }}", "{{ 5 is number and 'x' is string }}", "{{ 1 ~ 2 + 3 }}", "{{ 1 + 2 ~ 3 }}", "{{ 'a' ~ 'b' * 2 }}", "{{ 1.0 }} {{ 5 // 2.0 }} {{ 1e300 * 1e10 }}", "{{ none < 1 }}", "{{ none + 1 }}", "{{ 10 // 3 * 3 }}", "{{ choices[0] ~ choices[1] }}", "{{ 3.0 == 3 }} {{ 3.0 is integer }} {{ 3 is float }}")

# Statements.
add("{% for c in choices %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.length }} {{ c }}{{ '' if loop.last else ', ' }}{% endfor %}",
    "{% for c in choices %}{{ loop.first }} {{ loop.last }} {{ loop.previtem }} {{ loop.nextitem }};{% endfor %}", "{% for c in choices %}{{ loop.previtem|default('-') }}<{{ c }}>{{ loop.nextitem|default('-') }} {% endfor %}", "{% for c in choices if c != 'green' %}{{ loop.index }}{{ c }} {% endfor %}",
    "{% for c in [] %}x{% else %}none{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}{% endfor %}", "{% for c in 'añb' %}{{ c }}.{% endfor %}", "{% for i in range(10, 0, -3) %}{{ i }} {% endfor %}", "{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }} {% endfor %}", "{% for c in choices %}{{ loop.cycle('odd', 'even') }} {% endfor %}", "{% for c in words %}{{ loop.changed(c) }} {% endfor %}", "{% for i in range(3) %}{% for j in range(2) %}{{ loop.index }}{{ loop.depth }} {% endfor %}{{ loop.depth0 }}{% endfor %}", "{% for i in [[1, [2]], [3]] recursive %}{{ i }}{% endfor %}", "{% for i in [1, [2, [3]]] recursive %}{% if i is iterable %}<{{ loop(i) }}>{% else %}{{ i }}{% endif %}{% endfor %}", "{% for i in 5 %}{{ i }}{% endfor %}", "{% for i in none %}{{ i }}{% endfor %}", "{% for c in choices %}{% set x = c %}{% endfor %}{{ x|default('unset') }}", "{% set x = 1 %}{% for c in choices %}{% set x = x + 1 %}{% endfor %}{{ x }}", "{% set ns = namespace(x=1) %}{% for c in choices %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set x %}caught {{ n }}{% endset %}[{{ x }}]", "{% set x | upper %}caught{% endset %}[{{ x }}]", "{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}", "{% if none %}a{% elif zero %}b{% elif empty %}c{% elif '' %}d{% else %}e{% endif %}", "{% if not choices %}a{% else %}b{% endif %}", "{% with x = 5, y = 6 %}{{ x * y }}{% endwith %}", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }}", "{% macro m() %}{{ varargs }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}[{{ a }}|{{ caller() }}]{% endmacro %}{% call m(1) %}body{% endcall %}", "{% macro m(x) %}{{ x|upper }}{% endmacro %}{{ m('a')|length }}{{ m('b') ~ 'c' }}", "{% macro m() %}  x  {% endmacro %}[{{ m()|trim }}]", "{% filter upper %}abc {{ choices[0] }}{% endfilter %}", "{% raw %}{{ not }} {% jinja %}{% endraw %}", "a{# comment {{ n }} #}b", "{# multi\nline #}x", "{%- if yes -%}  a  {%- endif -%}", "  {%- if yes %} a {% endif -%}  b", "a\n{% if yes %}\nb\n{% endif %}\nc\n", "a\n  {%- if yes %}\n  b\n  {%- endif %}\nc", "a {{- ' b ' -}} c", "a\n\n{{ n }}\n\nb\n\n", "line\n", "line\n\n", "\n\nline", "{{ n }}\n", "{# c #}\n", "x {#- c -#} y", "{%+ if yes %}a{% endif +%}\nb", "{% do choices %}", "{% autoescape true %}{{ html }}{% endautoescape %}", "{% block b %}x{% endblock %}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{{ 'a' -}}   b", "{% set x = 'a\nb' %}{{ x }}", "{{ '{{ x }}' }}", "{{ \"}}\" }}", "{% if yes %}{{ 'a' }}{% endif %}{{'b'}}", "{%if yes%}x{%endif%}", "{{n}}{{n}}", "{% set x = namespace(a=[]) %}{{ x.a }}", "a{% if no %}b{% endif %}", "# not a comment\n## n", "{{ n }}% {n} {{ '{' }}", "{{ loop is defined }}", "{% for c in choices -%}\n {{ c }}\n{%- endfor %}!", "{% for c in choices %}\n{{ c }}\n{% endfor %}!")

# Filters.
for f in ["abs", "capitalize", "center(9)", "count", "d('x')", "default('x')", "default('x', true)", "default('x', boolean=true)", "e", "escape", "first", "float", "forceescape", "format", "indent", "indent(2, true)", "int", "items|list", "join", "join(', ')", "last", "length", "list", "lower", "max", "min", "replace('a', 'A')", "replace('e', '_', 2)", "reverse", "reverse|list", "round", "round(1)", "safe", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "truncate(10)", "truncate(10, true)", "truncate(10, true, '')", "truncate(10, false, '…', 0)", "truncate(length=12, killwords=true, end='.', leeway=0)", "unique|list", "upper", "wordcount", "trim('d.')"]:
    for v in ["text", "name", "para", "padded", "digits", "n", "f", "none", "yes", "choices", "numbers", "d", "html", "words", "floats"]:
        add("{{ %s|%s }}" % (v, f))
for f in ["pprint", "urlencode", "urlize", "wordwrap(20)", "xmlattr", "striptags", "filesizeformat"]:
    add("{{ text|%s }}" % f, "{{ d|%s }}" % f)
add("{{ choices|batch(2)|list }}", "{{ choices|batch(2, '-')|list }}", "{% for b in numbers|batch(2) %}{{ b }};{% endfor %}", "{{ numbers|slice(2)|list }}", "{{ numbers|slice(3, 'x')|list }}", "{{ d|dictsort }}", "{{ d|dictsort(false, 'value') }}", "{{ {'b': 2, 'A': 1}|dictsort }}", "{{ {'b': 2, 'A': 1}|dictsort(true) }}", "{{ {'b': 2, 'A': 1}|dictsort(reverse=true) }}", "{{ '%s is %d' | format('x', 5) }}", "{{ '%s' | format(none) }}", "{{ '%.2f|%5d|%-5s|%05d|%x|%e|%g|%r|%c|%%' | format(third, n, 'ab', n, 255, 12345.678, 0.0001, 'q', 'z') }}", "{{ '%s %s' | format(choices, d) }}", "{{ '%(a)s' | format(a=1) }}", "{{ '%s' | format(1e20) }}", "{{ '%s' | format(tiny) }}", "{{ '%d' | format(3.7) }}", "{{ '%s' | format(true) }}", "{{ '%5.1f' | format(2.25) }}",
    "{{ rows|groupby('age') }}", "{% for g in rows|groupby('age') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join('+') }} {% endfor %}", "{% for a, l in rows|groupby('city') %}{{ a }}={{ l|length }} {% endfor %}", "{% for a, l in rows|groupby('city', case_sensitive=true) %}{{ a }}={{ l|length }} {% endfor %}", "{{ rows|map(attribute='name')|list }}", "{{ rows|map(attribute='zip', default='?')|join }}", "{{ words|map('upper')|join(' ') }}", "{{ words|map('replace', 'a', 'o')|list }}", "{{ words|map('length')|sum }}", "{{ words|select('in', ['apple'])|list }}", "{{ numbers|select('odd')|list }}", "{{ numbers|reject('odd')|list }}", "{{ numbers|select|list }}", "{{ [0, 1, '', none, 'a']|select|list }}", "{{ [0, 1, '', none, 'a']|reject|list }}", "{{ rows|selectattr('age', '>', 30)|map(attribute='name')|list }}", "{{ rows|rejectattr('age', 'equalto', 31)|list }}", "{{ rows|selectattr('city')|list|length }}", "{{ words|sort }}", "{{ words|sort(reverse=true) }}", "{{ words|sort(case_sensitive=true) }}", "{{ rows|sort(attribute='age')|map(attribute='name')|join }}", "{{ rows|sort(attribute='city,name')|map(attribute='name')|join }}", "{{ words|unique|list }}", "{{ ['a', 'A', 'b']|unique|list }}", "{{ ['a', 'A', 'b']|unique(true)|list }}", "{{ rows|unique(attribute='age')|list|length }}", "{{ rows|sum(attribute='age') }}", "{{ numbers|sum(start=10) }}", "{{ rows|join(', ', attribute='name') }}", "{{ rows|max(attribute='age') }}", "{{ words|max }} {{ words|min }}", "{{ words|max(case_sensitive=true) }}", "{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 2.1|round(0, 'ceil') }} {{ 2.9|round(method='floor') }} {{ 1234.5|round(-2) }} {{ 5|round }}", "{{ '42'|int + 1 }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ '0x1f'|int(0, 16) }} {{ '1e3'|int }} {{ ' 7 '|int }} {{ 4.9|int }} {{ none|int }}", "{{ '4.5'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ '1e3'|float }} {{ 3|float }}", "{{ 'a b'|wordcount }} {{ 'don\\'t stop-me now'|wordcount }}", "{{ 'foo bar baz'|truncate(7) }}", "{{ 'foo bar baz'|truncate(7, leeway=0) }}", "{{ 'foobarbaz'|truncate(5, leeway=0) }}", "{{ text|truncate(20, end='') }}", "{{ para|indent }}", "{{ para|indent(4, first=true, blank=true) }}", "{{ para|indent('> ') }}", "{{ 'hello world'|title }} {{ \"they're bill's (x)\"|title }} {{ 'foo-bar'|title }} {{ 'a_b 3d'|title }}", "{{ 'ABC dEF'|capitalize }} {{ 'ñandú'|capitalize }}", "{{ 'abc'|first }} {{ 'abc'|last }} {{ ''|first }}", "{{ d|length }} {{ 'é🙂'|length }} {{ range(5)|length }}", "{{ 'abc'|reverse }} {{ 'abc'|list }}", "{{ [3, 1]|list|sort }}", "{{ d|tojson }}", "{{ 'a<b>\\'é\\n'|tojson }}", "{{ mixed|tojson }}", "{{ rows|tojson(indent=2) }}", "{{ [1.0, 1e20, none, true]|tojson }}", "{{ d|items|list }}", "{{ 'x,y'|replace(',', ' ') }}", "{{ 'aaa'|replace('a', 'b', 2) }}", "{{ 'abc'|replace('', '-') }}", "{{ 1|replace(1, 2) }}", "{{ '  x '|trim }}|{{ 'xxaxx'|trim('x') }}", "{{ n|default(3) }} {{ ''|default('e') }} {{ ''|default('e', true) }} {{ none|default('e') }} {{ none|d('e', true) }}", "{{ nope|default('there') }}", "{{ nope is defined }} {{ nope is undefined }} {{ n is defined }}", "{{ d.nope|default('x') }} {{ d.nope is defined }} {{ d['nope'] is undefined }} {{ choices[9]|default('out') }}", "{{ nope|default }}|", "{{ [1, 2]|attr('x')|default('none') }}", "{{ 'abc'|attr('upper') is defined }}", "{{ rows[0]|attr('name') is defined }}", "{{ ['a', 'b']|join(1) }}", "{{ [1, none, true, 1.0, 1e20]|join('|') }}", "{{ [[1], {'a': 'b'}]|join(', ') }}", "{{ 'abc'|join('-') }}", "{{ choices|join(d='; ') }}", "{{ 3|string + 'x' }} {{ 1e20|string }} {{ none|string }} {{ choices|string }} {{ true|string }}", "{{ 5|filesizeformat }}", "{{ 'ab'|center(6) }}|{{ 'abc'|center(6) }}|", "{{ choices|first }} {{ choices|last }} {{ []|first|default('none') }}", "{{ numbers|min }} {{ numbers|max }} {{ []|max|default('e') }}", "{{ numbers|sort|first }}", "{{ 'Mañana'|upper }} {{ 'ß'|upper }} {{ 'İ'|lower|length }} {{ 'ΑΣ'|lower }}", "{{ '<a>'|escape ~ '<b>' }}", "{{ ('<a>'|safe) ~ '<b>' }}", "{{ [1,2,3]|zip([4,5,6])|list }}", "{{ zip([1, 2], [3, 4])|list }}", "{{ 'a,b'|split(',') }}", "{{ 'a\\nb'|lines }}", "{{ [1]|chain([2])|list }}", "{{ 'yes'|bool }}", "{{ dict(a=1, b=2) }} {{ dict([['x', 1]]) }}", "{{ {'a': 1}|d }}", "{{ lipsum(1)|length > 0 }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}", "{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b", "{{ nope|length }}", "{{ 'x'|nofilter }}", "{{ numbers|map('string')|join(',') }}", "{{ words|map('first')|join }}", "{{ choices|map('capitalize')|join(', ') }}", "{{ rows|map(attribute='name')|map('lower')|list }}", "{{ endings.text[endings.label.index('B')] }}", "{{ endings['text']|join(' / ') }}", "{{ rows|selectattr('name', 'equalto', 'Bob')|first }}", "{{ (rows|selectattr('name', 'equalto', 'Bob')|list)[0].age }}", "{{ rows|map(attribute='name') is sequence }}", "{{ words|reject('equalto', 'apple')|join(',') }}", "{{ words|select('equalto', 'apple')|list|length }}", "{{ numbers|list == numbers }}", "{{ 'a'|upper|lower }}", "{{ [3,4]|map('pow')|list }}", "{{ none|list }}", "{{ 5|list }}", "{{ 5|join }}", "{{ 'x'|abs }}", "{{ 'b'|sort }}", "{{ [1, 'a']|sort }}", "{{ 12345.678|round(1)|string }}", "{{ 1000000|string }}", "{{ text|length }} {{ text|list|length }}", "{{ para|wordcount }}", "{{ ['x']|first|upper }}", "{{ '5' * 3 }}", "{{ n|int|string|length }}", "{{ 0.5|round|int }} {{ 1.5|round|int }}", "{{ 1.0|int }} {{ -1.5|int }} {{ '-3'|int }} {{ '1_0'|int }}", "{{ true|int }} {{ '3'|float }} {{ 'nan'|float }} {{ 'inf'|float }}", "{{ 'inf'|float ~ '' }} {{ ['nan'|float] }}")

# Tests.
for t in ["boolean", "callable", "divisibleby(2)", "eq(7)", "equalto(7)", "even", "false", "filter", "float", "ge(3)", "gt(3)", "in([7])", "integer", "iterable", "le(3)", "lower", "lt(3)", "mapping", "ne(7)", "none", "number", "odd", "sameas(none)", "sequence", "string", "true", "upper", "test", "escaped", "greaterthan(3)", "lessthan(3)", "divisibleby 7", "not none", "not string", "startingwith('x')"]:
    for v in ["n", "f", "text", "none", "yes", "choices", "d", "whole"]:
        add("{{ %s is %s }}" % (v, t))
add("{{ 'upper' is filter }} {{ 'odd' is test }} {{ 'nope' is filter }}", "{{ n is odd and f is float }}", "{{ 'ABC' is upper }} {{ 'abc' is lower }} {{ '1' is lower }}", "{{ range is callable }}", "{{ n is sameas n }}", "{{ n is in numbers }}", "{{ not n is even }}", "{{ n is not even }}", "{{ n is defined and n is odd }}", "{{ d is mapping and d is iterable }}", "{{ (1, 2) is sequence }}", "{{ 'x' is sequence }} {{ 'x' is iterable }}")

# Methods.
for m in ["capitalize()", "casefold()", "center(60, '*')", "count('e')", "count('')", "encode()", "endswith('.')", "endswith(('x', '.'))", "expandtabs(4)", "find('e')", "find('zzz')", "find('e', 5)", "find('e', 2, 4)", "index('e')", "index('zzz')", "isalnum()", "isalpha()", "isascii()", "isdecimal()", "isdigit()", "isidentifier()", "islower()", "isnumeric()", "isprintable()", "isspace()", "istitle()", "isupper()", "join(['a', 'b'])", "ljust(60, '-')", "lower()", "lstrip()", "lstrip('D ')", "partition(' ')", "partition('zzz')", "removeprefix('Der ')", "removesuffix('end.')", "replace('e', 'E')", "replace('e', 'E', 1)", "replace('', '-')", "rfind('e')", "rindex('e')", "rjust(60)", "rpartition(' ')", "rsplit(' ', 1)", "rsplit()", "rstrip()", "rstrip('.dn')", "split()", "split(' ')", "split('e', 1)", "split(none, 1)", "split(maxsplit=1)", "split(sep='e')", "split('')", "splitlines()", "splitlines(true)", "startswith('D')", "startswith(('x', 'D'))", "startswith('e', 1)", "strip()", "strip('D.')", "swapcase()", "title()", "translate({})", "upper()", "zfill(10)", "zfill(3)", "nosuch()", "format(1)", "__len__()", "__class__"]:
    for v in ["text", "name", "para", "padded", "digits", "upper"]:
        add("{{ %s.%s }}" % (v, m))
add("{{ '{} {}'.format(1, 'a') }}", "{{ '{0} {1} {0}'.format('x', 'y') }}", "{{ '{a:>5}|{b:<4}|{c:^5}'.format(a=1, b='x', c='y') }}", "{{ '{:.2f} {:,} {:05d} {:x} {!r}'.format(third, 1234567, 42, 255, 'q') }}", "{{ '{}'.format(choices) }} {{ '{}'.format(none) }} {{ '{}'.format(true) }} {{ '{}'.format(1e20) }} {{ '{}'.format(tiny) }}", "{{ '{{}}'.format() }}", "{{ '{}'.format() }}", "{{ '{:>10}'.format('é') }}", "{{ '{x[0]} {y.a}'.format(x=choices, y=d) }}", "{{ '{!s:>5}'.format(1) }}", "{{ '{:s}'.format(1) }}", "{{ '{:d}'.format(1.5) }}", "{{ '{:e} {:g} {:%}'.format(1234.5, 1e10, 0.25) }}", "{{ ', '.join(choices) }}", "{{ ', '.join(d) }}", "{{ ', '.join([1, 2]) }}", "{{ ''.join('abc') }}", "{{ '-'.join(choices[1:]) }}",
    "{{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 'df') }}", "{{ d.keys()|join(',') }} {{ d.values()|list }}", "{{ d.items()|list|length }}", "{{ d.pop('b') }}", "{{ d.update({'q': 1}) }}", "{{ d.copy() }}", "{{ d.setdefault('q', 1) }}", "{{ choices.index('green') }}", "{{ choices.index('nope') }}", "{{ choices.index('green', 2) }}", "{{ choices.count('red') }}", "{{ [1, true, 1.0].count(1) }}", "{{ choices.copy() }}", "{% set l = [] %}{% for c in choices %}{{ l.append(c) or '' }}{% endfor %}{{ l }}", "{% set _ = choices.append('x') %}{{ choices|length }}", "{{ choices.pop() }}", "{{ choices.extend([1]) }}", "{{ choices.insert(0, 'x') }}", "{{ choices.remove('red') }}", "{{ choices.reverse() }}", "{{ choices.sort() }}", "{{ choices.clear() }}", "{{ n.bit_length() }}", "{{ f.is_integer() }} {{ whole.is_integer() }}", "{{ (5).real }}", "{{ (1, 2).count(1) }} {{ (1, 2).index(2) }}", "{{ 'abc'.upper }}", "{{ 'a b c'.split()[-1] }}", "{{ 'a b c'.split(' ')|join('+') }}", "{{ 'a-b'.split('-')[1].upper() }}", "{{ 'x'.join(['a']) ~ 'y' }}", "{{ text.lower().split()|length }}", "{{ name.title().split(' ')[:2]|join(' ') }}", "{{ 'a\\r\\nb\\x0bc\\x1cd\\u2028e'.splitlines() }}", "{{ 'a\\n'.splitlines() }} {{ ''.splitlines() }} {{ '\\n'.splitlines() }}", "{{ '٣²½'.isdigit() }} {{ '٣'.isdecimal() }} {{ '²'.isdigit() }} {{ '½'.isnumeric() }} {{ '½'.isdigit() }} {{ 'ⅷ'.isalpha() }} {{ '一'.isnumeric() }} {{ '一'.isalpha() }}", "{{ 'ǆ'.title() }} {{ 'ŉ'.upper() }} {{ 'ﬁ'.capitalize() }} {{ 'ß'.title() }} {{ 'ΟΔΟΣ'.lower() }} {{ 'ΟΔΟΣ'.title() }} {{ 'ΟΔΟΣ'.capitalize() }}", "{{ \"they're bill's\".title() }} {{ 'a1b x-y o\\'neil'.title() }}", "{{ 'abc'.find('') }} {{ 'abc'.rfind('') }} {{ 'éa'.find('a') }} {{ 'abcabc'.find('c', -3) }} {{ 'abcabc'.count('a', 1) }} {{ 'aaa'.count('aa') }}", "{{ '+5'.zfill(4) }} {{ '-5'.zfill(4) }} {{ 'é'.zfill(3) }}", "{{ 'a'.ljust(3) ~ '|' }} {{ 'a'.rjust(3, '0') }} {{ 'a'.center(4, '.') }} {{ 'ab'.center(5, '.') }}", "{{ ' a b '.strip().replace(' ', '') }}", "{{ 'AbC'.swapcase() }} {{ 'aBc'.casefold() }} {{ 'Straße'.casefold() }}", "{{ 'a,b,,c'.split(',') }} {{ ',a'.split(',') }} {{ ''.split(',') }} {{ ''.split() }} {{ '  a  b '.split(' ') }} {{ ' a b c '.split(none, 1) }}", "{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }}", "{{ 'abc'.partition('b') }} {{ 'abcb'.rpartition('b') }}", "{{ 'unhappy'.removeprefix('un').removesuffix('py') }}", "{{ 'Hello World'.istitle() }} {{ 'HW'.isupper() }} {{ 'h1'.islower() }} {{ '1'.isupper() }} {{ ''.isspace() }} {{ ' \\t'.isspace() }} {{ 'a_1'.isidentifier() }} {{ ''.isalpha() }} {{ ''.isascii() }}", "{{ 'a\\tb'.expandtabs() }}", "{{ text.startswith('Der') and text.endswith('end.') }}", "{{ 'x'.encode('utf-8') }}", "{{ choices[0].upper().lower().title() }}", "{{ 'abc'.replace('b', 'x', -1) }} {{ 'aaa'.replace('a', 'b', count=1) }}", "{{ 'abc'.translate({97: 'x'}) }}", "{{ 'abc'.maketrans('a', 'b') }}", "{{ para.split('\\n')[0] }}", "{{ para.splitlines()[1] }}", "{{ (text ~ para)|length }}", "{{ rows[0].name.upper() }}", "{{ rows[0]['city'].lower() }}", "{{ d.a[1].upper() }}", "{{ {'items': 3}.items }}", "{{ {'items': 3}['items'] }}", "{{ rows[0].items()|list }}", "{{ rows[0].keys()|list }}", "{{ rows[-1].name }}", "{{ rows[1:][0].name }}", "{{ [rows[0].name, rows[1].name]|join(' and ') }}", "{{ ['False', 'True'][1] }} {{ ['no', 'yes'][yes] }} {{ ['no', 'yes'][n % 2] }}", "{{ {0: 'no', 1: 'yes'}[1] }} {{ {'a': 'x'}['a'] }} {{ {true: 'x'}[1] }}", "{{ [\"a\", \"b\"].index(\"b\") }}", "{{ 'abc'.index('c') }}", "{{ ('a', 'b')[0] }}", "{{ (('a', 'b'), 'c')|length }}", "{{ 'a' in ('a', 'b') }}", "{{ [1, 2, 3][-1:] }}", "{{ n.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ range(3)[1] }} {{ range(10)[2:4]|list }}", "{{ range(1, 4)|sum }}", "{{ range(3)|reverse|list }}", "{{ range(3)|map('string')|join }}", "{{ 'a'|list + ['b'] }}", "{{ [n, f]|max }}", "{{ self }}", "{{ caller is defined }}", "{{ true }} {{ True }} {{ false }} {{ False }} {{ None }} {{ none }} {{ null }}")


def rendered(source):
    env = jinja2.Environment()
    env.globals["zip"] = zip
    try:
        # A copy: a template may change the row's lists.
        return env.from_string(source).render(**json.loads(json.dumps(ROW)))
    except Exception:
        return None


if __name__ == "__main__":
    table = []
    for source in dict.fromkeys(CASES):
        text = rendered(source)
        if text is not None and (" at 0x" in text or "<class" in text):
            continue  # an address in Python's memory
        table.append([source, text])
    out = pathlib.Path(__file__).with_name("table.json")
    lines = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in table)
    out.write_text('{"jinja2": "%s",\n"row": %s,\n"table": [\n%s\n]}\n' % (jinja2.__version__, json.dumps(ROW), lines))
    print(len(table), "constructs,", sum(text is None for _, text in table), "of which jinja2 refuses")
