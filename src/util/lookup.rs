//! Looking through bodies that come with every call: for bytes, 64 at a time, and for names that are
//! known beforehand.

use wide::u8x16;

/// A bit for each byte of a block that is found, the first the lowest.
#[inline]
pub fn places(block: &[u8; 64], found: impl Fn(u8x16) -> u8x16) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    let bits = |places: u64, part: &[u8; 16]| places << 16 | u64::from(found(u8x16::new(*part)).to_bitmask());
    parts.iter().rev().fold(0, bits)
}

/// Names, each at the one place where it can be: what a name costs is the same for every name that a
/// caller may think of.
#[derive(Debug)]
pub struct Names<const COUNT: usize> {
    names: [&'static str; COUNT],
    /// Each name's number.
    slots: [u8; SLOTS],
}

const SLOTS: usize = 512;
const NOBODY: u8 = u8::MAX;

impl<const COUNT: usize> Names<COUNT> {
    /// Fewer names than 255.
    ///
    /// # Panics
    /// When two share a place: made in a `static`, this is checked when it is compiled.
    pub const fn new(names: [&'static str; COUNT]) -> Self {
        let mut slots = [NOBODY; SLOTS];
        let mut next = 0;
        while next < COUNT {
            let slot = slot(names[next].as_bytes());
            assert!(
                slots[slot] == NOBODY && next < NOBODY as usize,
                "two names share a place: try other factors in slot()"
            );
            slots[slot] = next as u8;
            next += 1;
        }
        Self { names, slots }
    }

    /// A name's number, which is its place among them; none for any other name.
    #[inline]
    pub fn number(&self, name: &[u8]) -> Option<usize> {
        let number = usize::from(*self.slots.get(slot(name))?);
        (self.names.get(number)?.as_bytes() == name).then_some(number)
    }
}

/// A place that is another one for every name of a table, by its length and four of its bytes; the factors
/// were found by trying.
const fn slot(name: &[u8]) -> usize {
    let length = name.len();
    let [first, third, second_third] =
        [byte(name, 0), byte(name, (length + 1) / 3), byte(name, length * 2 / 3)];
    let last = byte(name, length.saturating_sub(1));
    (length * 18 + first * 10 + third * 5 + second_third * 15 + last * 27) % SLOTS
}

const fn byte(name: &[u8], at: usize) -> usize {
    match name.split_at_checked(at) {
        Some((_, [byte, ..])) => *byte as usize,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        const NAMES: [&str; 4] = ["uuid", "user", "Hunt-Context", "x"];
        static TABLE: Names<4> = Names::new(NAMES);
        for (at, name) in NAMES.into_iter().enumerate() {
            assert_eq!(TABLE.number(name.as_bytes()), Some(at));
            assert_eq!(TABLE.number(format!("{name}x").as_bytes()), None);
            assert_eq!(TABLE.number(&name.as_bytes()[1..]), None, "{name}");
        }
        assert_eq!((TABLE.number(b""), TABLE.number("ü".as_bytes())), (None, None));
    }

    #[test]
    fn a_bit_for_each_byte_that_is_found() {
        let mut block = [b'a'; 64];
        for at in [0, 15, 16, 40, 63] {
            block[at] = b'=';
        }
        let found = places(&block, |part| part.simd_eq(u8x16::splat(b'=')));
        assert_eq!(found, 1 | 1 << 15 | 1 << 16 | 1 << 40 | 1 << 63);
    }
}
