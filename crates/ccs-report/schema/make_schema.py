"""report.schema.json from the types of report.json: every struct and enum of `src/report/` and `src/method.rs`.

    python3 make_schema.py > report.schema.json

It knows what those types use and no more, and fails at anything else.
"""
import json
import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
FILES = [SOURCE / "method.rs", *sorted((SOURCE / "report").glob("*.rs"))]
PLAIN = {
    "String": {"type": "string"},
    "bool": {"type": "boolean"},
    "f64": {"type": "number"},
    "usize": {"type": "integer", "minimum": 0},
    "u64": {"type": "integer", "minimum": 0},
    "u32": {"type": "integer", "minimum": 0},
    "serde_json::Value": {},
    # Written by hand in method.rs.
    "Method": {"type": "string", "pattern": "^[a-z0-9_]{1,30}$"},
}
ALIASES = {}


def split(text):
    """At commas outside of brackets."""
    parts, depth, last = [], 0, 0
    for at, c in enumerate(text):
        depth += (c in "<[(") - (c in ">])")
        if c == "," and depth == 0:
            parts.append(text[last:at])
            last = at + 1
    return [part.strip() for part in [*parts, text[last:]]]


def of_type(text, generic=None):
    text = text.strip()
    if text == generic:
        return {"type": "integer", "minimum": 0}  # Side<usize>, its only use
    if text in ALIASES:
        return of_type(ALIASES[text])
    if text in PLAIN:
        return dict(PLAIN[text])
    if m := re.fullmatch(r"Option<(.+)>", text):
        inner = of_type(m[1])
        if set(inner) == {"type"} or set(inner) == {"type", "minimum"}:
            return {**inner, "type": [inner["type"], "null"]}
        return {"anyOf": [inner, {"type": "null"}]} if inner else {}
    if m := re.fullmatch(r"Vec<(.+)>", text):
        return {"type": "array", "items": of_type(m[1])}
    if m := re.fullmatch(r"\[(.+); (\d+)\]", text):
        return {"type": "array", "items": of_type(m[1]), "minItems": int(m[2]), "maxItems": int(m[2])}
    if m := re.fullmatch(r"(?:IndexMap|BTreeMap)<(.+)>", text):
        key, value = split(m[1])
        names = of_type(key)
        made = {"type": "object", "additionalProperties": of_type(value)}
        return made if key == "String" else {**made, "propertyNames": names}
    if m := re.fullmatch(r"\((.+)\)", text):
        parts = [of_type(part) for part in split(m[1])]
        return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
    if m := re.fullmatch(r"(\w+)(?:<\w+>)?", text):
        USED.add(m[1])
        return {"$ref": f"#/$defs/{m[1]}"}
    raise SystemExit(f"a type that is not known here: {text}")


def words(lines):
    return " ".join(line.strip()[3:].strip() for line in lines if line.strip().startswith("///")).replace("\\", "")


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def body(text, start):
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return text[start + 1:at]
    raise SystemExit("no end of a type")


def items(text):
    """Fields or variants, each with its comment and attributes above it."""
    found, above = [], []
    for line in text.splitlines():
        if line.strip().startswith(("///", "#[")):
            above.append(line)
        elif line.strip():
            found.append((above, line.strip().rstrip(",")))
            above = []
    return found


def of_struct(text, generic):
    made = {"type": "object", "properties": {}, "required": []}
    flattened = []
    for above, line in items(text):
        name, kind = re.fullmatch(r"pub (\w+): (.+)", line).groups()
        attributes = " ".join(a for a in above if "#[serde" in a)
        if "flatten" in attributes:
            flattened.append(kind)
            continue
        about = of_type(kind, generic)
        if comment := words(above):
            about = {"description": comment, **about}
        made["properties"][name] = about
        if "default" not in attributes:
            made["required"].append(name)
    return made, flattened


TYPES, USED = {}, set()
for path in FILES:
    text = path.read_text().split("#[cfg(test)]")[0]
    for m in re.finditer(r"^pub type (\w+) = (.+);$", text, re.M):
        ALIASES[m[1]] = m[2]
for path in FILES:
    text = path.read_text().split("#[cfg(test)]")[0]
    declared = r"((?:^(?:///|#\[).*\n)+)^pub (struct|enum) (\w+)(?:<(\w+)>)? \{"
    for m in re.finditer(declared, text, re.M):
        above, kind, name, generic = m.groups()
        if "Serialize" not in above and name != "Sign":
            continue
        inside = body(text, m.end() - 1)
        if name == "Method":
            continue
        if name == "Sign":
            made, flattened = {"enum": [1, -1]}, []
        elif kind == "enum":
            made, flattened = {"enum": [snake(line) for _, line in items(inside)]}, []
        else:
            made, flattened = of_struct(inside, generic)
        TYPES[name] = ({"description": words(above.splitlines()), **made}, flattened)

# A flattened struct's keys stand among the others'; a flattened map takes any.
for made, flattened in TYPES.values():
    for kind in flattened:
        if kind in TYPES:
            made["properties"] = {**TYPES[kind][0]["properties"], **made["properties"]}
            made["required"] = [*TYPES[kind][0]["required"], *made["required"]]

root = TYPES.pop("Report")[0]
definitions = {name: made for name, (made, _) in sorted(TYPES.items()) if name in USED}
missing = USED - set(definitions) - {"Report"}
if missing:
    raise SystemExit(f"types without a definition: {sorted(missing)}")
print(json.dumps({
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "report.json of a CCS run",
    **root,
    "$defs": definitions,
}, indent=1, ensure_ascii=False))
