//! A reader of JSON, for what cargo prints.

use std::collections::HashMap;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(HashMap<String, Json>),
}

/// What is returned where nothing is.
static NULL: Json = Json::Null;

impl Json {
    /// Reads one document.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
        let value = reader.value()?;
        reader.space();
        if reader.at == text.len() { Ok(value) } else { Err(reader.expected("the end")) }
    }

    /// A member of an object, or null.
    pub fn get(&self, key: &str) -> &Self {
        match self {
            Self::Object(members) => members.get(key).unwrap_or(&NULL),
            _ => &NULL,
        }
    }

    /// The text; empty for any other value.
    pub fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The elements of a list; none for any other value.
    pub fn list(&self) -> &[Self] {
        if let Self::List(elements) = self { elements } else { &[] }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Json, String> {
        self.space();
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(),
            Some(b'"') => self.text().map(Json::Text),
            _ => self.word(),
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = HashMap::new();
        self.take(b'{')?;
        while !self.ends(b'}', members.is_empty())? {
            self.space();
            let key = self.text()?;
            self.space();
            self.take(b':')?;
            members.insert(key, self.value()?);
        }
        Ok(Json::Object(members))
    }

    fn list(&mut self) -> Result<Json, String> {
        let mut elements = Vec::new();
        self.take(b'[')?;
        while !self.ends(b']', elements.is_empty())? {
            elements.push(self.value()?);
        }
        Ok(Json::List(elements))
    }

    /// Whether a list or an object ends here; takes the comma otherwise.
    fn ends(&mut self, end: u8, first: bool) -> Result<bool, String> {
        self.space();
        if self.bytes.get(self.at) == Some(&end) {
            self.at += 1;
            return Ok(true);
        }
        if first { Ok(false) } else { self.take(b',').map(|()| false) }
    }

    fn text(&mut self) -> Result<String, String> {
        self.take(b'"')?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return String::from_utf8(text).map_err(|e| e.to_string()),
                b'\\' => {
                    let escaped = self.escaped()?;
                    text.extend(escaped.encode_utf8(&mut [0; 4]).bytes());
                }
                byte => text.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        Ok(match self.next()? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first = self.unit()?;
                let units = if (0xd800..0xdc00).contains(&first) {
                    self.take(b'\\')?;
                    self.take(b'u')?;
                    vec![first, self.unit()?]
                } else {
                    vec![first]
                };
                let text = String::from_utf16(&units).map_err(|e| e.to_string())?;
                text.chars().next().unwrap_or_default()
            }
            other => char::from(other),
        })
    }

    fn unit(&mut self) -> Result<u16, String> {
        let digits = self.bytes.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
        let unit = digits.and_then(|d| u16::from_str_radix(d, 16).ok());
        let unit = unit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }

    fn word(&mut self) -> Result<Json, String> {
        let length = self.bytes[self.at..].iter().take_while(|b| !b",]} \n\r\t".contains(b)).count();
        let word = String::from_utf8_lossy(&self.bytes[self.at..self.at + length]).into_owned();
        let value = match word.as_str() {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            number => Json::Number(number.parse().map_err(|_| self.expected("a value"))?),
        };
        self.at += length;
        Ok(value)
    }

    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| self.expected("more"))?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, byte: u8) -> Result<(), String> {
        if self.bytes.get(self.at) == Some(&byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.expected(&format!("`{}`", char::from(byte))))
        }
    }

    fn expected(&self, what: &str) -> String {
        format!("JSON, byte {}: expected {what}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_and_damaged_ones_refused() {
        let json =
            Json::parse("{\"a\": [1, -2.5e3, null, true, {}], \"b\\n\\u00fc\\ud83d\\ude00\": \"x\\\"\"}\n");
        let json = json.unwrap();
        assert_eq!(json.get("b\nü😀").text(), "x\"");
        let list = json.get("a").list();
        assert_eq!(list[..4], [Json::Number(1.0), Json::Number(-2500.0), Json::Null, Json::Bool(true)]);
        assert_eq!(list[4], Json::Object(HashMap::new()));
        assert_eq!(json.get("nowhere").get("at all"), &Json::Null);
        for bad in ["", "{", "[1 2]", "{\"a\" 1}", "\"a", "nul", "[1] 2", "\"\\u12\""] {
            assert!(Json::parse(bad).is_err(), "{bad}");
        }
    }
}
