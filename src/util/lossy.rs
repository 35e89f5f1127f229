//! Bytes of others read as text.

use std::borrow::Cow;

/// Text from bytes; those that are not UTF-8 become U+FFFD. Borrowed where nothing has to be replaced.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
