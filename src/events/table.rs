//! How events are stored: a word for the kind, and a JSON object with the data of that kind.
//!
//! `event_table!` declares a table of events in one place: each kind with its word, and the type of its
//! data. What is encoded and decoded here is all that is stored as `detail` of an event.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::kernel::fault::Fault;

/// Declares the kinds of one table of events, and an enum of their data. Kinds under `plain` have no data.
macro_rules! event_table {
    (
        $(#[$kind_meta:meta])*
        kind $Kind:ident;
        $(#[$data_meta:meta])*
        data $Data:ident;
        plain { $($(#[$plain_meta:meta])* $Plain:ident = $plain_word:literal,)* }
        with { $($(#[$with_meta:meta])* $With:ident($Shape:ty) = $with_word:literal,)* }
    ) => {
        $(#[$kind_meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Kind {
            $($(#[$plain_meta])* $Plain,)*
            $($(#[$with_meta])* $With,)*
        }

        impl $Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$Plain,)* $(Self::$With,)*];

            /// The kind that has this word in the table.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.word() == word)
            }

            /// The word of this kind in the table.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$Plain => $plain_word,)*
                    $(Self::$With => $with_word,)*
                }
            }
        }

        $(#[$data_meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $Data {
            $($(#[$plain_meta])* $Plain,)*
            $($(#[$with_meta])* $With($Shape),)*
            /// An event of which only the kind is known: its data were erased, or cannot be read.
            KindOnly($Kind),
        }

        impl $Data {
            /// What happened.
            pub const fn kind(&self) -> $Kind {
                match self {
                    $(Self::$Plain => $Kind::$Plain,)*
                    $(Self::$With(_) => $Kind::$With,)*
                    Self::KindOnly(kind) => *kind,
                }
            }

            /// The JSON object that is stored.
            pub fn encode(&self) -> Result<::serde_json::Value, $crate::kernel::fault::Fault> {
                match self {
                    $(Self::$Plain |)* Self::KindOnly(_) => Ok($crate::events::table::empty()),
                    $(Self::$With(data) => $crate::events::table::encode(data),)*
                }
            }

            /// Reads what is stored of an event of this kind. An empty object, as an erasure leaves it, is
            /// [`Self::KindOnly`] where the kind has data that are always there. Keys that are not known are ignored.
            pub fn decode(
                kind: $Kind,
                stored: ::serde_json::Value,
            ) -> Result<Self, ::serde_json::Error> {
                match kind {
                    $($Kind::$Plain => Ok(Self::$Plain),)*
                    $($Kind::$With => {
                        $crate::events::table::decode(stored, Self::$With, Self::KindOnly(kind))
                    })*
                }
            }
        }
    };
}

pub(super) use event_table;

/// Stored data of a kind that has none.
pub(super) fn empty() -> Value {
    Value::Object(Map::new())
}

/// Data as they are stored.
pub(super) fn encode(data: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(data)
        .map_err(|e| Fault::internal(format!("event data do not encode: {e}")))
}

/// Reads stored data; `bare` of an empty object that lacks some.
pub(super) fn decode<S: DeserializeOwned, D>(
    stored: Value,
    of: impl FnOnce(S) -> D,
    bare: D,
) -> Result<D, serde_json::Error> {
    let is_empty = stored.as_object().is_some_and(Map::is_empty);
    match serde_json::from_value(stored) {
        Ok(data) => Ok(of(data)),
        Err(_) if is_empty => Ok(bare),
        Err(error) => Err(error),
    }
}

/// A value of another room within the data of an event, in the JSON form in which that room stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(Value);

impl Document {
    /// The value as that room stores it.
    pub fn of(value: &impl Serialize) -> Result<Self, Fault> {
        encode(value).map(Self)
    }

    /// The value.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }
}

/// A text that people wrote, and nothing where they wrote none.
pub fn written(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether a flag is left out of what is stored.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}
