//! Jinja's filters: the engine's where they do as Python's jinja2 does, and our own where they do not
//! (jinja2's `filters.py`). In data's templates none takes an undefined value but `default`.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::arguments::{named, text as text_of, whole};
use super::collections::{attribute, items};
use super::{Dialect, casing, is_python_space, json, limits, ordering, python, text, undefined};

/// Filters of jinja2's and promptsource's that are not here, and why.
const MISSING: [(&str, &str); 12] = [
    ("choice", "it draws at random, and so the two prompts of a pair could differ by chance"),
    ("attr", "write value.name or value['name']"),
    ("filesizeformat", "write the size out in the data"),
    ("random", "it draws at random, and so the two prompts of a pair could differ by chance"),
    ("highlight", "it is for promptsource's own pages"),
    ("most_frequent", "take the most frequent answer in the data"),
    ("pprint", "print the value itself"),
    ("striptags", "prompts are no HTML"),
    ("urlencode", "prompts are no URLs"),
    ("urlize", "prompts are no HTML"),
    ("wordwrap", "wrap the text in the data"),
    ("xmlattr", "prompts are no HTML"),
];

/// What to do about an unknown filter.
pub(super) fn hint(error: &Error) -> String {
    let detail = error.detail().unwrap_or_default();
    let why = MISSING.iter().find(|(name, _)| detail.contains(&format!("filter {name} ")));
    why.map_or_else(
        || {
            let names: Vec<&str> = MISSING.iter().map(|(name, _)| *name).collect();
            format!("Jinja's own filters are there, without {}", names.join(", "))
        },
        |(_, why)| (*why).to_owned(),
    )
}

pub(super) fn add(environment: &mut Environment, dialect: Dialect) {
    for (name, _) in MISSING {
        environment.remove_filter(name);
    }
    for name in ["default", "d"] {
        environment.add_filter(name, default);
    }
    for (name, filter) in ENGINES {
        let filter = filter();
        let call = move |state: &mut State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            if let Some(made) = of_undefined(state, name, &args)? {
                return Ok(made);
            }
            for arg in &args {
                let size = arg.as_str().map_or_else(|| 64 * arg.len().unwrap_or_default(), str::len);
                limits::charge(state, size)?;
            }
            filter.call(state, &args)
        };
        environment.add_filter(name, call);
    }
    let tojson: (&str, Filter) = match dialect {
        Dialect::Data => ("tojson", json::jinja2),
        Dialect::Chat => ("tojson", json::transformers),
    };
    for (name, filter) in OWN.into_iter().chain([tojson]) {
        let call = move |state: &mut State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            if let Some(made) = of_undefined(state, name, &args)? {
                return Ok(made);
            }
            let (value, args) = args.split_first().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            filter(state, value, args)
        };
        environment.add_filter(name, call);
    }
}

/// What a filter makes of a value that is undefined; `None` if it is not, or makes of it what it makes of any other.
fn of_undefined(state: &State, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    undefined::refuse_unless_allowed(state, args)?;
    match args.first() {
        Some(value) if undefined::is(value) => undefined::filtered(name, value),
        // jinja2 asks whether there is anything before it looks for items.
        Some(value) if undefined::is_absent(value) && undefined::takes_nothing(name) => {
            Ok(Some(Value::from(Vec::<Value>::new())))
        }
        _ => Ok(None),
    }
}

/// A filter's name, and its function.
type Named = (&'static str, fn() -> Value);

/// The engine's filters that do as jinja2's do.
const ENGINES: [Named; 19] = [
    ("abs", || Value::from_function(filters::abs)),
    ("batch", || Value::from_function(filters::batch)),
    ("chain", || Value::from_function(filters::chain)),
    ("count", || Value::from_function(filters::length)),
    ("first", || Value::from_function(filters::first)),
    ("format", || Value::from_function(format)),
    ("items", || Value::from_function(filters::items)),
    ("last", || Value::from_function(filters::last)),
    ("length", || Value::from_function(filters::length)),
    ("map", || Value::from_function(filters::map)),
    ("reject", || Value::from_function(filters::reject)),
    ("rejectattr", || Value::from_function(filters::rejectattr)),
    ("reverse", || Value::from_function(filters::reverse)),
    ("round", || Value::from_function(filters::round)),
    ("select", || Value::from_function(filters::select)),
    ("selectattr", || Value::from_function(filters::selectattr)),
    ("slice", || Value::from_function(filters::slice)),
    ("sum", || Value::from_function(filters::sum)),
    ("zip", || Value::from_function(filters::zip)),
];

/// A filter of our own: of the value and the arguments after it.
type Filter = fn(&State, &Value, &[Value]) -> Result<Value, Error>;

const OWN: [(&str, Filter); 25] = [
    ("capitalize", |state, value, args| recased(state, value, args, casing::capitalize)),
    ("center", center),
    ("e", escape),
    ("escape", escape),
    ("float", float),
    ("forceescape", escape),
    ("indent", indent),
    ("int", int),
    ("join", join),
    ("dictsort", ordering::dictsort),
    ("groupby", ordering::groupby),
    ("list", list),
    ("max", ordering::max),
    ("min", ordering::min),
    ("safe", |state, value, args| {
        from_args::<()>(args)?;
        python::text(state, value).map(Value::from_safe_string)
    }),
    ("sort", ordering::sort),
    ("unique", ordering::unique),
    ("lower", |state, value, args| recased(state, value, args, str::to_lowercase)),
    ("replace", replace),
    ("string", |state, value, args| recased(state, value, args, str::to_owned)),
    ("title", |state, value, args| recased(state, value, args, title)),
    ("trim", trim),
    ("truncate", truncate),
    ("upper", |state, value, args| recased(state, value, args, str::to_uppercase)),
    ("wordcount", wordcount),
];

fn refused(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

fn recased(state: &State, value: &Value, args: &[Value], case: fn(&str) -> String) -> Result<Value, Error> {
    from_args::<()>(args)?;
    Ok(Value::from(case(&python::text(state, value)?)))
}

/// jinja2's `title`: a new word begins after a hyphen, white space and opening brackets, and nowhere else.
fn title(text: &str) -> String {
    let (mut starts, mut word, mut out) = (true, String::new(), String::with_capacity(text.len()));
    let flush = |word: &mut String, out: &mut String| {
        let mut characters = word.chars();
        if let Some(first) = characters.next() {
            out.extend(first.to_uppercase());
            out.push_str(&characters.as_str().to_lowercase());
        }
        word.clear();
    };
    for c in text.chars() {
        let splits = matches!(c, '-' | '(' | '{' | '[' | '<') || is_python_space(c);
        if splits != starts {
            flush(&mut word, &mut out);
            starts = splits;
        }
        word.push(c);
    }
    flush(&mut word, &mut out);
    out
}

fn wordcount(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    from_args::<()>(args)?;
    let text = python::text(state, value)?;
    let is_word = |c: char| c == '_' || casing::is_letter(c) || casing::is_numeric(c) || casing::is_digit(c);
    Ok(Value::from(text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count()))
}

fn trim(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [characters] = named(args, ["chars"])?;
    let text = python::text(state, value)?;
    text::method(state, &text, "strip", characters.as_slice())
}

fn center(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [width] = named(args, ["width"])?;
    let text = python::text(state, value)?;
    text::method(state, &text, "center", &[Value::from(whole(width, 80)?)])
}

fn replace(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [old, new, count] = named(args, ["old", "new", "count"])?;
    let (Some(old), Some(new)) = (old, new) else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let [text, old, new] = [value, &old, &new].map(|value| python::text(state, value));
    let count = usize::try_from(whole(count, -1)?).ok();
    text::replace(state, &text?, &old?, &new?, count).map(Value::from)
}

fn join(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [separator, path] = named(args, ["d", "attribute"])?;
    let separator = separator.map_or(Ok(String::new()), |separator| python::text(state, &separator))?;
    let mut out = String::new();
    for (i, item) in items(state, value)?.into_iter().enumerate() {
        let item = match &path {
            None => item,
            Some(path) => attribute(&item, &path.to_string())?,
        };
        let item = python::text(state, &item)?;
        limits::charge(state, separator.len().saturating_add(item.len()))?;
        if i > 0 {
            out.push_str(&separator);
        }
        out.push_str(&item);
    }
    Ok(Value::from(out))
}

fn list(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    from_args::<()>(args)?;
    items(state, value).map(Value::from)
}

/// jinja2's `default`: for what is undefined, or with `boolean` for whatever is false.
fn default(_: &mut State, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (value, args) = args.split_first().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let [instead, boolean] = named(args, ["default_value", "boolean"])?;
    let given = args.first().filter(|first| !first.is_kwargs() && first.is_none()).cloned();
    let takes = undefined::is(value) || (boolean.is_some_and(|flag| flag.is_true()) && !value.is_true());
    Ok(if takes { instead.or(given).unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

fn truncate(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [length, whole_words, end, leeway] = named(args, ["length", "killwords", "end", "leeway"])?;
    let text =
        value.as_str().ok_or_else(|| refused("truncate cuts text alone: write value|string|truncate"))?;
    let (length, leeway) = (whole(length, 255)?, whole(leeway, 5)?);
    let end = text_of(end.as_ref(), "...")?;
    let kept = length - end.chars().count() as i64;
    if kept < 0 || leeway < 0 {
        return Err(refused("truncate's length must hold the end's, and its leeway not be negative"));
    }
    limits::charge(state, text.len())?;
    if text.chars().count() as i64 <= length.saturating_add(leeway) {
        return Ok(Value::from(text));
    }
    let mut cut: String = text.chars().take(usize::try_from(kept).unwrap_or_default()).collect();
    if !whole_words.is_some_and(|cuts| cuts.is_true())
        && let Some(at) = cut.rfind(' ')
    {
        cut.truncate(at);
    }
    Ok(Value::from(cut + end))
}

fn indent(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [width, first, blank] = named(args, ["width", "first", "blank"])?;
    let text = value.as_str().ok_or_else(|| refused("indent takes text alone"))?;
    let width = match &width {
        Some(width) if width.as_str().is_some() => text_of(Some(width), "")?.to_owned(),
        width => {
            let width = usize::try_from(whole(width.clone(), 4)?).unwrap_or_default();
            limits::charge(state, width)?;
            " ".repeat(width)
        }
    };
    let [first, blank] = [first, blank].map(|flag| flag.is_some_and(|flag| flag.is_true()));
    let mut out = String::new();
    for (i, line) in text::lines(&format!("{text}\n"), false).enumerate() {
        limits::charge(state, width.len().saturating_add(line.len()))?;
        if i > 0 {
            out.push('\n');
        }
        if (i == 0 && first) || (i > 0 && (blank || !line.is_empty())) {
            out.push_str(&width);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn escape(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    from_args::<()>(args)?;
    let text = python::text(state, value)?;
    if value.is_safe() {
        return Ok(value.clone());
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

fn int(_: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [default, base] = named(args, ["default", "base"])?;
    let base = u32::try_from(whole(base, 10)?).unwrap_or(0);
    let default = || default.unwrap_or_else(|| Value::from(0));
    if let Some(text) = value.as_str() {
        return Ok(whole_number(text, base)
            .map(Value::from)
            .or_else(|| truncated(python::parse_float(text)?))
            .unwrap_or_else(default));
    }
    Ok(match value.kind() {
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => value.clone(),
        ValueKind::Number => truncated(f64::try_from(value.clone())?).unwrap_or_else(default),
        _ => default(),
    })
}

/// A float without its fraction, as an integer; `None` for what is no number of the engine's.
fn truncated(number: f64) -> Option<Value> {
    let fits = number.is_finite() && number.abs() < 1e38;
    fits.then(|| i64::try_from(number as i128).map_or_else(|_| Value::from(number as i128), Value::from))
}

/// Python's `int(text, base)`.
fn whole_number(text: &str, base: u32) -> Option<i64> {
    let text = super::strip(text);
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let prefixed =
        |lower: &str, upper: &str| digits.strip_prefix(lower).or_else(|| digits.strip_prefix(upper));
    let digits = match base {
        2 => prefixed("0b", "0B"),
        8 => prefixed("0o", "0O"),
        16 => prefixed("0x", "0X"),
        _ => None,
    }
    .unwrap_or(digits);
    let single = digits.split('_').all(|part| !part.is_empty() && part.chars().all(|c| c.is_digit(base)));
    let number = (2..=36).contains(&base) && single;
    let value = i64::from_str_radix(&digits.replace('_', ""), base);
    if number { value.ok().map(|value| if negative { -value } else { value }) } else { None }
}

fn float(_: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [default] = named(args, ["default"])?;
    let number = match value.as_str() {
        Some(text) => python::parse_float(text),
        None if value.kind() == ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        None => f64::try_from(value.clone()).ok(),
    };
    Ok(number.map(Value::from).or(default).unwrap_or_else(|| Value::from(0.0)))
}

fn format(state: &State, text: &str, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    printf(state, text, args.into_values())
}

/// printf's formatting. The engine pads by bytes where Python pads by characters.
pub(super) fn printf(state: &State, text: &str, args: Vec<Value>) -> Result<Value, Error> {
    text::refuse_widths(text, &args)?;
    let args = args.into_iter().map(|arg| match arg.as_object() {
        // As Python prints lists.
        Some(_) if !arg.is_kwargs() => python::text(state, &arg).map(Value::from),
        _ => Ok(arg),
    });
    let args: Vec<Value> = std::iter::once(Ok(Value::from(text))).chain(args).collect::<Result<_, _>>()?;
    Value::from_function(filters::format).call(&mut state.env().empty_state(), &args)
}
