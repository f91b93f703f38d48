//! How much a template may ask for. Templates come from strangers' files and runs: none may hang the program, fill its
//! memory or overflow its stack.

use minijinja::{Error, ErrorKind, State};

/// The work of one rendering: a step of the engine's costs one, and so do 64 bytes of text or two items of a list, made
/// or read. BoolQ's longest passage under the largest of promptsource's templates takes a fiftieth of it.
pub const WORK: u64 = 300_000;
/// The bytes that one unit of work pays for.
const BYTES: usize = 64;

/// Pays for `bytes` bytes that are about to be made or read.
pub(super) fn charge(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES) as u64)
}

/// The bytes that the work left would pay for.
pub(super) fn room(state: &State) -> usize {
    let left = state.fuel_levels().map_or(WORK, |(_, left)| left);
    usize::try_from(left).unwrap_or(usize::MAX).saturating_mul(BYTES)
}

/// The error of a rendering that asks for more than [`WORK`].
pub(super) fn exceeded() -> Error {
    Error::from(ErrorKind::OutOfFuel)
}

/// The longest text that a rendering may make, in bytes: sixty-four times the context of any LLaMA.
pub const LONGEST: usize = 16 << 20;

/// The error of a rendering whose text is longer than [`LONGEST`].
pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::OutOfFuel, "too long")
}

/// The longest source of a template, in bytes: fifty times the longest of promptsource's. The engine's stack grows with
/// how deep a source nests, and so with its length.
pub const LONGEST_SOURCE: usize = 256 << 10;

/// The error of a source longer than [`LONGEST_SOURCE`].
pub(super) fn source_too_long(length: usize) -> Error {
    let message = format!("the source has {length} bytes, and at most {LONGEST_SOURCE} are read");
    Error::new(ErrorKind::SyntaxError, message)
}

/// The longest tag, in bytes, texts in quotes apart. The engine works out constants again at every operator of a chain.
pub(super) const LONGEST_TAG: usize = 8 << 10;

/// The error of a tag longer than [`LONGEST_TAG`].
pub(super) fn tag_too_long() -> Error {
    let message = format!(
        "a tag has more than the {LONGEST_TAG} bytes, texts apart, that are read: set parts of it before"
    );
    Error::new(ErrorKind::SyntaxError, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Engine, deeply};
    use minijinja::{ErrorKind, Value};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// What is said of a template, which must end soon.
    fn ends(source: &str) -> Result<String, (ErrorKind, String)> {
        let start = Instant::now();
        let row = Value::from_pairs([("text", "abc ".repeat(200))]);
        // An error holds values of the template, which only a deep stack can drop.
        let render = || {
            Engine::compile(source, Dialect::Data)
                .and_then(|engine| engine.render(row))
                .map_err(|e| (e.kind(), e.to_string()))
        };
        let made = deeply(render).expect("a thread");
        assert!(start.elapsed() < Duration::from_secs(20), "{source:.100}: {:?}", start.elapsed());
        made
    }

    #[test]
    fn work_without_end_is_refused() {
        let doubled = |what: &str, times: usize| {
            format!("{{% set a = {what} %}}{}", "{% set a = a + a %}".repeat(times))
        };
        let nested = "{% set a = [1] %}".to_owned() + &"{% set a = [a, a] %}".repeat(60);
        for source in [
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}".to_owned(),
            "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxx{% endfor %}{% endfor %}".to_owned(),
            "{% set a = 'a' * 100 %}{{ a.replace('a', a).replace('a', a).replace('a', a).replace('a', a)|length }}".to_owned(),
            "{% set a = 'a' * 100 %}{{ a|replace('a', a)|replace('a', a)|replace('a', a)|replace('a', a)|length }}".to_owned(),
            "{{ text.replace('', 'x' * 1000000) }}".to_owned(),
            "{{ 'x' * 1000000000 }}".to_owned(),
            "{{ ('x' * 1000000000)|length }}".to_owned(),
            "{{ [1] * 1000000000 }}".to_owned(),
            "{{ (range(99999)|list * 1000)|join }}".to_owned(),
            "{{ ((1, 2) * 1000000000)|length }}".to_owned(),
            "{{ range(10 ** 12)|list }}".to_owned(),
            "{{ range(500000)|join(text) }}".to_owned(),
            "{{ text.join(range(300000)|map('string')) }}".to_owned(),
            "{{ [1]|batch(10 ** 10, 'x')|list }}".to_owned(),
            "{{ [1]|slice(10 ** 10)|list }}".to_owned(),
            "{{ 'a'.center(10 ** 10) }}".to_owned(),
            "{{ 'a'|center(10 ** 10) }}".to_owned(),
            "{{ 'a'.ljust(10 ** 10) }}".to_owned(),
            "{{ 'a'.rjust(10 ** 10, 'é') }}".to_owned(),
            "{{ 'a'.zfill(10 ** 10) }}".to_owned(),
            "{{ 'a\\tb'.expandtabs(10 ** 10) }}".to_owned(),
            "{{ 'a'|indent(10 ** 10) }}".to_owned(),
            "{{ 'a\\nb'|indent(10 ** 10, true) }}".to_owned(),
            "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
            "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
            doubled("text", 60) + "{{ a }}",
            doubled("[1, 2]", 60) + "{{ a|length }}{{ a|join }}",
            nested.clone() + "{{ a }}",
            nested.clone() + "{{ a ~ '' }}",
            nested.clone() + "{{ a|string }}",
            nested.clone() + "{{ a|tojson }}",
            nested.clone() + &nested.replace('a', "b") + "{{ a == b }}",
            nested.clone() + &nested.replace('a', "b") + "{{ a < b }}",
            nested.clone() + &nested.replace('a', "b") + "{{ a in [b] }}",
            "{% for i in range(90000) %}{{ text.upper().lower().title().split()|length }}{% endfor %}".to_owned(),
            "{% for i in range(90000) %}{{ text|sort|unique|join }}{% endfor %}".to_owned(),
            "{% for i in range(900000) %}{{ text ~ i }}{% endfor %}".to_owned(),
        ] {
            let (kind, error) = ends(&source).expect_err(&source);
            let named = ["large", "recursion", "deep"].iter().any(|word| error.contains(word));
            assert!(kind == ErrorKind::OutOfFuel || named, "{source:.100}: {error}");
        }
        for source in [
            "{{ '%1000000000s'|format('x') }}",
            "{{ '{:>1000000000}'.format('x') }}",
            "{{ '%.1000000000f'|format(1.0) }}",
        ] {
            assert!(ends(source).expect_err(source).1.contains("10000 wide"), "{source}");
        }
    }

    #[test]
    fn deep_sources_end_without_a_crash() {
        let chain = |start: &str, link: &str, end: &str| {
            let links = (LONGEST_TAG - 100) / link.len();
            format!("{{{{ {start}{}{end} }}}}", link.repeat(links))
        };
        for source in [
            chain("1", "+1", ""),
            chain("1", "~1", ""),
            chain("1", "*1", ""),
            chain("1", "**1", ""),
            chain("1", "==1", ""),
            chain("1", " or 1", ""),
            chain("", "not ", "1"),
            chain("", "-", "1"),
            chain("", "(", "1"),
            chain("", "[", "1"),
            chain("", "{1:", "1"),
            chain("text", ".a", ""),
            chain("text", "[0]", ""),
            chain("text", "|upper", ""),
            chain("text", "()", ""),
            chain("text", " is none", ""),
            chain("1", " if 1 else 1", ""),
            chain("'a'", " 'a'", ""),
            "{% if 1 %}".repeat(20_000),
            "{% if 1 %}a".to_owned() + &"{% elif 1 %}b".repeat(15_000) + "{% endif %}",
            "{% for x in [1] %}".repeat(12_000),
            "{% filter upper %}".repeat(12_000),
            "{% set a = [] %}".to_owned() + &"{% set a = [a] %}".repeat(14_000) + "{{ a }}",
            "{% set a = [] %}".to_owned() + &"{% set a = [a] %}".repeat(14_000) + "{{ a ~ a == a }}",
            "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}".to_owned(),
            "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}".to_owned(),
            "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = n.x[:] %}{% endfor %}{{ n.x }}".to_owned(),
            "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = n.x + [1] %}{% endfor %}".to_owned(),
        ] {
            let _ = ends(&source);
        }
        let tag = format!("{{{{ 1{} }}}}", "+1".repeat(5_000));
        assert!(ends(&tag).expect_err("a long tag").1.contains("8192"));
        let text = format!("{{{{ '{}' }}}}", "a".repeat(100_000));
        assert_eq!(ends(&text).expect("a long text").len(), 100_000);
        let long = "{{ 1".to_owned() + &"+1".repeat(200_000) + " }}";
        assert!(ends(&long).expect_err("too long").1.contains("262144"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_template_panics_or_hangs(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "{{ ", " }}", "{% ", " %}", "{#", "#}", "for i in ", "endfor", "if ", "endif", "set a = ", "text", "a", "i", "[:3]", "[::-1]", "|upper", "|join(',')", ".split()", " * 99999", "range(99999)", " ~ ", " + ", "'x'", "\"é\\\\", "7", "-", "(", ")", "[", "]", "{", "}", " is defined", " in ", " == ", " < ", " if ", " else ", "|default('y')", "raw", "endraw", "macro m(x)", "endmacro", "m(a)", "loop.index", "|format(a, 7)", "%s",
                ]),
                0..24,
            ),
        ) {
            let _ = ends(&parts.concat());
        }
    }
}
