//! The kinds that Centrex reads, as a type: a kind that is added is missing nowhere that matches on it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::with_kinds;

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        /// A kind of object: those of `centrex.dev`, and the core kinds that they refer to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The kind's name, as manifests write it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }

            /// The kind of a name; `None` for a kind that Centrex does not read.
            pub fn by_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($kind) => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

with_kinds!(kinds, Secret, ConfigMap, Namespace);

/// By name: lists of objects are in the order of the alphabet.
impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
