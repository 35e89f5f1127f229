//! Text from bytes that may not be UTF-8.

use std::borrow::Cow;

/// Bytes as text. Those that are not UTF-8 become U+FFFD; text that needs no replacement is borrowed.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
