//! Sections of the settings: JSON objects whose known keys are typed fields and whose other keys are kept.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Takes a field out of a section. A value that the field would not write back as it was (of another type, `null`)
/// stays where it is, so that a manifest is written as it was read.
pub(super) fn take<T: Serialize + DeserializeOwned>(
    section: &mut Map<String, Value>,
    key: &str,
) -> Option<T> {
    let value = section.get(key).filter(|value| !value.is_null())?;
    let field = T::deserialize(value).ok()?;
    if serde_json::to_value(&field).ok()? != *value {
        return None;
    }
    section.remove(key);
    Some(field)
}

/// Puts a field into a section, if it has a value.
pub(super) fn put<T: Serialize>(section: &mut Map<String, Value>, key: &str, field: Option<T>) {
    // None of the types in a section can fail to become JSON: they have text keys and no foreign implementations.
    if let Some(value) = field.and_then(|field| serde_json::to_value(field).ok()) {
        section.insert(key.to_owned(), value);
    }
}

/// Defines a section: each field is optional and is the JSON key of its name.
macro_rules! section {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(from = "serde_json::Map<String, serde_json::Value>", into = "serde_json::Map<String, serde_json::Value>")]
        pub struct $name {
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// Every other key, and values that are not of a field's type: what another program or version wrote.
            pub other: serde_json::Map<String, serde_json::Value>,
        }

        impl From<serde_json::Map<String, serde_json::Value>> for $name {
            fn from(mut section: serde_json::Map<String, serde_json::Value>) -> Self {
                Self {
                    $($field: $crate::provenance::section::take(&mut section, stringify!($field)),)*
                    other: section,
                }
            }
        }

        impl From<$name> for serde_json::Map<String, serde_json::Value> {
            fn from(section: $name) -> Self {
                let mut map = section.other;
                $($crate::provenance::section::put(&mut map, stringify!($field), section.$field);)*
                $crate::json::sorted(map)
            }
        }
    };
}

pub(super) use section;
