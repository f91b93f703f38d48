//! Python's case and character classes, where they are not Rust's: `capitalize`, `title`, `swapcase` and `isdigit` and
//! its like. Facts from `CPython`'s `Objects/unicodeobject.c` and `Objects/unicodectype.c`, and Unicode's title cases.

use unicode_general_category::{GeneralCategory as G, get_general_category};

/// `str.capitalize`.
pub(super) fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        None => String::new(),
        Some(first) => {
            let all: Vec<char> = text.chars().collect();
            title_case(first).into_iter().chain((1..all.len()).flat_map(|at| lower_case(&all, at))).collect()
        }
    }
}

/// `str.title`: a letter after anything but a letter with case is title case, all others lower case.
pub(super) fn title(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let mut after_cased = false;
    let mut out = String::with_capacity(text.len());
    for (at, c) in all.iter().enumerate() {
        if after_cased {
            out.extend(lower_case(&all, at));
        } else {
            out.extend(title_case(*c));
        }
        after_cased = is_cased(*c);
    }
    out
}

/// `str.swapcase`.
pub(super) fn swapcase(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let swapped = |(at, c): (usize, &char)| {
        if c.is_uppercase() {
            lower_case(&all, at)
        } else if c.is_lowercase() {
            c.to_uppercase().collect()
        } else {
            vec![*c]
        }
    };
    all.iter().enumerate().flat_map(swapped).collect()
}

/// `str.istitle`.
pub(super) fn is_title(text: &str) -> bool {
    let (mut after_cased, mut any) = (false, false);
    for c in text.chars() {
        if c.is_uppercase() || get_general_category(c) == G::TitlecaseLetter {
            if after_cased {
                return false;
            }
            (after_cased, any) = (true, true);
        } else if c.is_lowercase() {
            if !after_cased {
                return false;
            }
            (after_cased, any) = (true, true);
        } else {
            after_cased = false;
        }
    }
    any
}

/// Whether text has letters with case, and none of the case that `other` tells.
pub(super) fn is_of_one_case(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    let is_other = |c: char| other(c) || get_general_category(c) == G::TitlecaseLetter;
    text.chars().any(wanted) && !text.chars().any(is_other)
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || get_general_category(c) == G::TitlecaseLetter
}

/// The lower case of the character at `at`: Greek's sigma has another at the end of a word.
fn lower_case(all: &[char], at: usize) -> Vec<char> {
    let Some(c) = all.get(at) else { return Vec::new() };
    if *c != 'Σ' {
        return c.to_lowercase().collect();
    }
    let counts = |c: &&char| !is_case_ignorable(**c);
    let before = all.get(..at).unwrap_or_default().iter().rev().find(counts);
    let after = all.get(at + 1..).unwrap_or_default().iter().find(counts);
    let ends = before.is_some_and(|c| is_cased(*c)) && !after.is_some_and(|c| is_cased(*c));
    vec![if ends { 'ς' } else { 'σ' }]
}

fn is_case_ignorable(c: char) -> bool {
    matches!(
        get_general_category(c),
        G::NonspacingMark | G::EnclosingMark | G::Format | G::ModifierLetter | G::ModifierSymbol
    ) || matches!(c, '\'' | '.' | ':' | '·' | '’' | '‘')
}

/// A character's title case, which is its upper case but for ligatures, Georgian, and Greek with a iota below.
fn title_case(c: char) -> Vec<char> {
    let code = u32::from(c);
    let known: Option<&[char]> = match code {
        0x149 => Some(&['ʼ', 'N']),
        0x1c4..=0x1c6 => Some(&['ǅ']),
        0x1c7..=0x1c9 => Some(&['ǈ']),
        0x1ca..=0x1cc => Some(&['ǋ']),
        0x1f1..=0x1f3 => Some(&['ǲ']),
        0x1fb2 => Some(&['\u{1fba}', '\u{345}']),
        0x1fb3 | 0x1fbc => Some(&['\u{1fbc}']),
        0x1fb4 => Some(&['\u{386}', '\u{345}']),
        0x1fb7 => Some(&['\u{391}', '\u{342}', '\u{345}']),
        0x1fc2 => Some(&['\u{1fca}', '\u{345}']),
        0x1fc3 | 0x1fcc => Some(&['\u{1fcc}']),
        0x1fc4 => Some(&['\u{389}', '\u{345}']),
        0x1fc7 => Some(&['\u{397}', '\u{342}', '\u{345}']),
        0x1ff2 => Some(&['\u{1ffa}', '\u{345}']),
        0x1ff3 | 0x1ffc => Some(&['\u{1ffc}']),
        0x1ff4 => Some(&['\u{38f}', '\u{345}']),
        0x1ff7 => Some(&['\u{3a9}', '\u{342}', '\u{345}']),
        _ => None,
    };
    match (known, code) {
        (Some(known), _) => known.to_vec(),
        (None, 0x10d0..=0x10ff) => vec![c],
        (None, 0x1f80..=0x1faf) => char::from_u32(code | 8).into_iter().collect(),
        _ => {
            let mut upper = c.to_uppercase();
            upper.next().into_iter().chain(upper.flat_map(char::to_lowercase)).collect()
        }
    }
}

/// `str.isalpha` of one character.
pub(super) fn is_letter(c: char) -> bool {
    matches!(
        get_general_category(c),
        G::UppercaseLetter | G::LowercaseLetter | G::TitlecaseLetter | G::ModifierLetter | G::OtherLetter
    )
}

/// `str.isdecimal` of one character.
pub(super) fn is_decimal(c: char) -> bool {
    get_general_category(c) == G::DecimalNumber
}

/// `str.isdigit` of one character: decimal digits, and superscripts, circled digits and their like.
pub(super) fn is_digit(c: char) -> bool {
    let others: [(u32, u32); 20] = [
        (0xb2, 0xb3),
        (0xb9, 0xb9),
        (0x1369, 0x1371),
        (0x19da, 0x19da),
        (0x2070, 0x2070),
        (0x2074, 0x2079),
        (0x2080, 0x2089),
        (0x2460, 0x2468),
        (0x2474, 0x247c),
        (0x2488, 0x2490),
        (0x24ea, 0x24ea),
        (0x24f5, 0x24fd),
        (0x24ff, 0x24ff),
        (0x2776, 0x277e),
        (0x2780, 0x2788),
        (0x278a, 0x2792),
        (0x10a40, 0x10a43),
        (0x10e60, 0x10e68),
        (0x11052, 0x1105a),
        (0x1f100, 0x1f10a),
    ];
    let code = u32::from(c);
    is_decimal(c) || others.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

/// `str.isnumeric` of one character: Chinese numerals count too.
pub(super) fn is_numeric(c: char) -> bool {
    const NUMERALS: &str = "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆\
                            萬貮貳贰阡陆陌陸零";
    matches!(get_general_category(c), G::DecimalNumber | G::LetterNumber | G::OtherNumber)
        || NUMERALS.contains(c)
}
