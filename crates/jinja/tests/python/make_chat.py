"""Renders constructs as transformers renders chat templates and writes chat.json beside this file.

    pip install transformers==5.24 jinja2==3.1.6 && python make_chat.py

The constructs are make.py's, of which those are kept that come out otherwise than in jinja2's plain environment, and
the ones below: white space around blocks, values that are not there, `loopcontrols`, generation blocks, `tojson`.
"""

import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

import make

BLOCKS = [
    "a\n{% if yes %}\nb\n{% endif %}\nc\n", "a\n   {% if yes %}\n   b\n   {% endif %}\n   c", "a  {% if yes %}  b  {% endif %}  c",
    "  {%+ if yes %}\nb{% endif +%}\nc", "{% if yes -%}\n  b\n{%- endif %}\n\nc", "x\n  {# note #}\ny", "x {# note #}\ny", "x\n  {{ n }}\ny",
    "x\n\t{% set a = 1 %}\n\t{{ a }}\n", "{%- for c in choices %}\n{{ c }}\n{%- endfor %}\n", "{% for c in choices %}\n  {{ c }}\n{% endfor %}end",
    "{% raw %}\n  {% if %}\n{% endraw %}\nx", "a\n{% raw %}b{% endraw %}\nc", "\n\n{% if yes %}\n\n\nb{% endif %}\n\n", "a\r\n{% if yes %}\r\nb\r\n{% endif %}\r\nc",
    "a\n    {%- if yes %}\n    b{% endif %}", "{{ n -}}\n  b", "{% macro m(a) %}\n  [{{ a }}]\n{% endmacro %}\n{{ m(1) }}", "{% set x %}\n y\n{% endset %}[{{ x }}]",
]
LOOPS = [
    "{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in range(5) %}{% if i % 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in range(5) %}\n  {%- if i == 1 -%}\n  {% continue %}\n  {%- endif %}\n{{ i }}{{ loop.last }}\n{% endfor %}", "{% for i in [] %}{% break %}{% else %}e{% endfor %}",
    "{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
]
GENERATION = [
    "a{% generation %}b{% endgeneration %}c", "a\n{% generation %}\nb {{ n }}\n{% endgeneration %}\nc", "a {%- generation -%} b {%- endgeneration -%} c",
    "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "{% for c in choices %}{% generation %}{{ c }}{% endgeneration %}{% endfor %}",
    "{% set generation = 'g' %}{{ generation }}", "{% generation %}{% if yes %}y{% endif %}{% endgeneration %}",
]
MISSING = [
    "[{{ nope }}]", "[{{ d.nope }}]", "[{{ d['nope'] }}]", "[{{ choices[9] }}]", "[{{ nope.x }}]", "[{{ d.nope.x }}]", "[{{ nope['x'] }}]", "{{ 'a' if nope else 'b' }}",
    "{% if not nope %}n{% endif %}", "{% if nope and n %}a{% else %}b{% endif %}", "{{ nope or 'x' }}", "[{{ nope and 'x' }}]", "{% for x in nope %}a{% else %}e{% endfor %}",
    "{{ nope == none }}", "{{ nope == '' }}", "{{ nope == nope }}", "{{ nope != 'a' }}", "{{ nope is none }}", "{{ nope is string }}", "{{ nope is mapping }}", "{{ nope is iterable }}",
    "{{ nope is sequence }}", "{{ nope is number }}", "{{ nope is boolean }}", "{{ nope is defined }}", "{{ d.nope is defined }}", "{{ nope is true }}", "{{ nope is false }}", "{{ nope is integer }}", "{{ nope is float }}",
    "[{{ nope ~ 'a' }}]", "[{{ 'a' ~ d.nope }}]", "{{ nope + 'a' }}", "{{ 'a' + nope }}", "{{ nope + 1 }}", "{{ nope < 1 }}", "{{ 1 > nope }}", "{{ nope - 1 }}", "{{ -nope }}", "{{ nope * 2 }}",
    "{{ 'a' in nope }}", "{{ nope in ['a'] }}", "{{ nope in 'abc' }}", "{{ nope in d }}", "{{ 'x' not in nope }}", "{{ nope|length }}", "[{{ nope|trim }}]", "[{{ nope|upper }}]", "[{{ nope|string }}]", "{{ nope|list }}",
    "[{{ nope|join(',') }}]", "[{{ nope|first }}]", "[{{ nope|last }}]", "{{ nope|default('x') }}", "{{ nope|tojson }}", "{{ nope|int }}", "{{ nope|float }}", "{{ nope|abs }}", "{{ nope|sum }}", "{{ nope|sort }}", "{{ nope|unique|list }}",
    "{{ nope|map('upper')|list }}", "{{ nope|selectattr('x')|list }}", "{{ nope|select|list }}", "{{ nope|items|list }}", "{{ nope|dictsort }}", "[{{ nope|replace('a', 'b') }}]", "[{{ nope|max }}]", "[{{ nope|capitalize }}]", "[{{ nope|title }}]", "[{{ nope|truncate(3) }}]", "[{{ nope|indent }}]", "{{ nope|wordcount }}",
    "{{ nope[1:] }}", "{{ nope[0] }}", "{{ nope() }}", "{{ nope.strip() }}", "{{ none.strip() }}", "[{{ none.x }}]", "{{ [nope]|length }}", "{% macro m(a, b) %}[{{ a }}|{{ b }}]{% endmacro %}{{ m(1) }}",
    "{% macro m(a, b) %}{{ b is defined }}{% endmacro %}{{ m(1) }}", "[{{ 'a' if no }}]", "{{ ('a' if no) ~ 'b' }}", "{{ ('a' if no) is defined }}", "{{ rows|selectattr('nope')|list|length }}", "{{ rows|selectattr('nope', 'defined')|list|length }}",
    "{{ rows|map(attribute='nope', default='-')|list }}", "{% set x = nope %}[{{ x }}]", "{{ namespace(a=nope).a is defined }}", "{% set ns = namespace() %}[{{ ns.x }}]", "{% if d.nope is defined and d.nope %}a{% else %}b{% endif %}",
    "{{ d.get('nope') is none }}", "{{ d.get('nope', 'z') }}", "[{{ n.nope }}]", "[{{ text.nope }}]", "[{{ choices.nope }}]", "{{ loop is defined }}", "{{ caller is defined }}", "{{ nope is not none and nope }}",
]
JSON = [
    "{{ d|tojson }}", "{{ rows|tojson }}", "{{ rows|tojson(indent=4) }}", "{{ html|tojson }}", "{{ text|tojson }}", "{{ mixed|tojson }}", "{{ floats|tojson }}", "{{ {'z': 1, 'a': 2}|tojson }}", "{{ {'z': 1, 'a': 2}|tojson(sort_keys=true) }}",
    "{{ d|tojson(separators=(',', ':')) }}", "{{ text|tojson(ensure_ascii=true) }}", "{{ d|tojson(indent=2, ensure_ascii=false) }}", "{{ '\\x7f\\x01\\u2028'|tojson }}", "{{ []|tojson }}{{ {}|tojson }}{{ {}|tojson(indent=2) }}", "{{ none|tojson }} {{ true|tojson }}",
    "{{ (d|tojson)|length }}", "{{ ('<a>'|tojson) ~ '<b>' }}", "{{ {'k': nope}|tojson }}", "{{ rows[0].items()|list|tojson }}", "{{ rows|map(attribute='name')|list|tojson }}",
]
CHAT = [
    "{{ raise_exception('no ' ~ n) }}", "{% if no %}{{ raise_exception('no') }}{% endif %}ok", "{{ strftime_now is defined }}", "{{ zip is defined }}", "{{ tools is none }}{{ documents is none }}", "{% for t in tools %}x{% endfor %}", "{{ tools|selectattr('x')|list|length }}{{ tools|map(attribute='x')|list }}{{ tools|reject|list }}", "{{ tools|list }}", "{{ tools|join }}", "{{ tools|first }}", "{{ tools|sum }}", "{{ tools|length }}", "[{{ tools }}]{{ tools|tojson }}{{ tools == none }}{{ tools is defined }}{{ tools is iterable }}{{ tools is callable }}", "{{ tools or 'x' }}{{ 'y' if not documents }}", "{{ 'a' in tools }}", "{{ tools|default('x') }}{{ tools|default('x', true) }}{{ tools ~ '!' }}", "{{ namespace(a=1).a }}", "{{ dict(a=1) }}",
    "{% set m = messages[0] %}{{ m['role'] }}{{ m.content }}{{ m.tool_calls is defined }}{{ m.get('tool_calls') }}", "{% for m in messages %}{{ loop.index0 }}{{ m.role }}{{ loop.previtem.role }}{{ loop.nextitem is defined }}{% endfor %}",
    "{{ messages|length }}{{ messages[-1].role }}{{ messages[1:]|length }}{{ messages[::-1][0].role }}", "{{ messages[0]['content'].split('?')[0] }}", "{{ messages|map(attribute='role')|join(',') }}", "{{ messages|selectattr('role', 'equalto', 'user')|list|length }}",
    "{{ (messages|last).content }}", "{{ messages[0].content is string }}", "{{ messages is iterable }}{{ messages is mapping }}{{ messages[0] is mapping }}", "{{ messages[9].role }}", "{{ messages[0].nope.x }}", "{{ bos_token + 'a' }}", "{{ bos_token ~ nope }}",
    "{{ choices.append('x') }}", "{{ d.update(a=1) }}", "{% set _ = d.pop('a') %}", "{{ d.__class__ }}", "{{ ''.join(['a', 'b']) }}", "{{ '%s-%s' % ('a', 1) }}", "{{ messages[0].content[:5] }}", "{{ content is defined }}", "{% set ns = namespace(f=false) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.f = true %}{% endif %}{% endfor %}{{ ns.f }}",
]
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is water wet? 水は濡れていますか"},
    {"role": "assistant", "content": "Yes"},
]


def rendered(source):
    try:
        row = json.loads(json.dumps(make.ROW))
        return _compile_jinja_template(source).render(messages=MESSAGES, tools=None, documents=None, bos_token="<s>", **row)
    except Exception:
        return None


if __name__ == "__main__":
    own = list(dict.fromkeys(BLOCKS + LOOPS + GENERATION + MISSING + JSON + CHAT))
    table = [[source, rendered(source)] for source in own]
    for source in dict.fromkeys(make.CASES):
        text = rendered(source)
        if source not in own and text != make.rendered(source):
            table.append([source, text])
    table = [[source, text] for source, text in table if text is None or not (" at 0x" in text or "<class" in text)]
    out = pathlib.Path(__file__).with_name("chat.json")
    lines = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in table)
    out.write_text('{"messages": %s,\n"table": [\n%s\n]}\n' % (json.dumps(MESSAGES), lines))
    print(len(table), "constructs,", sum(text is None for _, text in table), "of which jinja2 refuses")
