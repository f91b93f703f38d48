//! An error as a user reads it.

use std::error::Error;
use std::io;

use crate::hint::hint;

/// `error: `, the chain of causes on one line, then the hints, one a line. Every error has one at least: that of the system
/// error inside, where it brings none.
pub fn message(error: &(dyn Error + 'static)) -> String {
    let (mut chain, mut hints): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut of_system = None;
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let (text, own) = text.split_once("\nhint: ").map_or((text.as_str(), None), |(t, h)| (t, Some(h)));
        // Many errors show their source in their own message.
        if !chain.iter().any(|shown| shown.contains(text)) {
            chain.push(text.to_owned());
        }
        hints.extend(own.map(str::to_owned).filter(|own| !hints.contains(own)));
        of_system = of_system.or_else(|| error.downcast_ref::<io::Error>().map(hint));
        next = error.source();
    }
    if hints.is_empty() {
        hints.push(of_system.unwrap_or("`--help` behind the command says what it takes").to_owned());
    }
    let hints: String = hints.iter().flat_map(|hint| ["\nhint: ", hint]).collect();
    format!("error: {}{hints}", chain.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Said(&'static str, Option<Box<Said>>);

    impl std::fmt::Display for Said {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Said {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn the_chain_is_one_line_and_hints_come_last() {
        let inner = Said("row 3 is bad (column 7)\nhint: look at it", None);
        let outer = Said("layer 5", Some(Box::new(inner)));
        assert_eq!(message(&outer), "error: layer 5: row 3 is bad (column 7)\nhint: look at it");
    }

    #[test]
    fn no_error_is_without_a_hint() {
        let missing = fs_err::read("/nowhere/at/all").unwrap_err();
        let said = message(&missing);
        assert!(said.contains("/nowhere/at/all") && said.contains("\nhint: check how the path"), "{said}");
        assert!(message(&Said("x", None)).ends_with("hint: `--help` behind the command says what it takes"));
    }
}
