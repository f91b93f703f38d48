//! A page to search the rows of a run by: `explore.html`. One file, which loads nothing and works from a disk.
//!
//! The data stands in the page as JSON; its script, `explore.js`, sets what comes from it as text and never as HTML.

mod rows;

use minijinja::{Environment, context};
use serde::Serialize;
use serde_json::Value;

pub use rows::{Explore, ExploredMethod, ExploredRows, Picture};

use crate::error::{Error, Result};
use crate::figures::palette::{Theme, declarations};

/// Its name ends in `.html.j2`, so that everything in it is escaped that is not marked as safe.
const TEMPLATE: &str = "explore.html.j2";
const PAGE: &str = include_str!("page.html.j2");
const STYLE: &str = include_str!("explore.css");
const SCRIPT: &str = include_str!("explore.js");

/// The page.
///
/// # Errors
/// None for data of this crate.
pub fn html(explore: &Explore) -> Result<String> {
    let failed =
        |reason: &dyn std::fmt::Display| Error::Write { what: "explore.html", reason: reason.to_string() };
    let data = embedded(explore).map_err(|e| failed(&e))?;
    let mut environment = Environment::new();
    environment.add_template(TEMPLATE, PAGE).map_err(|e| failed(&e))?;
    let about: Vec<String> = explore.about.iter().map(|part| host::text::shown(part).into_owned()).collect();
    let page = environment.get_template(TEMPLATE).map_err(|e| failed(&e))?;
    let values = context! {
        about,
        statements => explore.statements,
        left_out => explore.left_out,
        light => declarations(Theme::Light),
        dark => declarations(Theme::Dark),
        style => STYLE,
        script => SCRIPT,
        data,
    };
    page.render(values).map_err(|e| failed(&e))
}

/// JSON that no HTML parser finds a tag or a comment in, with control and bidi characters written out.
fn embedded(explore: &impl Serialize) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(explore)?;
    shown(&mut value);
    // These stand in strings alone, where JSON may write them so.
    let text = serde_json::to_string(&value)?;
    Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

fn shown(value: &mut Value) {
    match value {
        Value::String(text) => *text = host::text::shown(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(shown),
        Value::Object(map) => map.values_mut().for_each(shown),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_stays_data() {
        let hostile = "</script><!--<script>alert(1)</script>&amp;\u{202e}\u{2028}";
        let text = embedded(&[hostile]).unwrap();
        assert!(!text.contains(['<', '>', '&', '\u{202e}', '\u{2028}']), "{text}");
        let read: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(read[0], "</script><!--<script>alert(1)</script>&amp;\\u{202e}\\u{2028}");
    }
}
