//! The tags of a document. Nothing is allocated, and text between them is not looked at: quick-xml
//! makes an event of each piece and checks it to be UTF-8 again, which is most of what it takes.

use std::ops::Range;

use memchr::memmem;
use wide::u8x16;

use super::document::DocumentError;

/// What a tag does to an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `<name …>`
    Begins,
    /// `<name …/>`
    Is,
    /// `</name>`
    Ends,
}

/// A tag.
#[derive(Debug)]
pub struct Tag<'a> {
    /// What it does.
    pub kind: Kind,
    /// Where it is in the document.
    pub at: Range<usize>,
    /// What stands between `<` and `>`, without the slash.
    pub inner: &'a str,
}

impl<'a> Tag<'a> {
    /// The element's name. One that holds a space ends there.
    pub fn name(&self) -> &'a str {
        let end = self.inner.bytes().position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        end.and_then(|end| self.inner.get(..end)).unwrap_or(self.inner)
    }
}

/// Finds tag after tag, and passes over comments and the like.
#[derive(Debug)]
pub struct Tags<'a> {
    text: &'a str,
    marks: Marks<'a>,
}

impl<'a> Tags<'a> {
    /// The tags of a document.
    pub fn new(text: &'a str) -> Self {
        Self { text, marks: Marks::new(text.as_bytes()) }
    }

    /// The next one; none at the end.
    ///
    /// # Errors
    /// What makes it no document.
    pub fn next_tag(&mut self) -> Result<Option<Tag<'a>>, DocumentError> {
        while let Some(start) = self.marks.next_opening() {
            let rest = self.text.as_bytes().get(start + 1..).unwrap_or_default();
            match rest {
                [b'!', b'-', b'-', ..] => self.pass_over(start + 4, b"-->")?,
                [b'!', b'[', b'C', b'D', b'A', b'T', b'A', b'[', ..] => self.pass_over(start + 9, b"]]>")?,
                [b'?', ..] => self.pass_over(start + 2, b"?>")?,
                [b'!', b'D' | b'd', ..] => return Err(DocumentError::Xml("it has a DOCTYPE".to_owned())),
                [b'!', ..] => return Err(DocumentError::Truncated),
                [b'/', ..] => {
                    let end = self.close(|byte| byte == b'>')?;
                    return Ok(Some(self.tag(Kind::Ends, start..end + 1, start + 2..end)));
                }
                _ => {
                    let end = self.end_of_tag()?;
                    let is = end > start + 1 && self.byte(end - 1) == Some(b'/');
                    let (kind, inner) = if is { (Kind::Is, end - 1) } else { (Kind::Begins, end) };
                    return Ok(Some(self.tag(kind, start..end + 1, start + 1..inner)));
                }
            }
        }
        Ok(None)
    }

    fn tag(&self, kind: Kind, at: Range<usize>, inner: Range<usize>) -> Tag<'a> {
        // Both ends are beside characters of one byte.
        Tag { kind, at, inner: self.text.get(inner).unwrap_or_default() }
    }

    /// Where the tag ends that has begun: what is in quotes does not end it.
    fn end_of_tag(&mut self) -> Result<usize, DocumentError> {
        loop {
            let at = self.close(|_| true)?;
            match self.byte(at) {
                Some(quote @ (b'"' | b'\'')) => self.close(|byte| byte == quote)?,
                _ => return Ok(at),
            };
        }
    }

    /// The next `>` or quote that is wanted.
    #[inline]
    fn close(&mut self, wanted: impl Fn(u8) -> bool) -> Result<usize, DocumentError> {
        loop {
            let at = self.marks.next_closing().ok_or(DocumentError::Truncated)?;
            if self.byte(at).is_some_and(&wanted) {
                return Ok(at);
            }
        }
    }

    /// Passes over what begins before `from` and ends with `end`.
    fn pass_over(&mut self, from: usize, end: &[u8]) -> Result<(), DocumentError> {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let length = memmem::find(rest, end).ok_or(DocumentError::Truncated)?;
        self.marks.pass_over(from + length + end.len());
        Ok(())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }
}

/// Where `<`, `>` and quotes stand. There is one every fourteen bytes: whether any of 64 bytes is one
/// is found together, and no search is begun anew after each.
#[derive(Debug)]
struct Marks<'a> {
    blocks: std::slice::Iter<'a, [u8; 64]>,
    rest: &'a [u8],
    /// A bit for each mark of this block that was not passed yet, the first the lowest: of `<`, and of
    /// `>` and quotes.
    opening: u64,
    closing: u64,
    /// Where this block begins, and the next one.
    begin: usize,
    next: usize,
}

impl<'a> Marks<'a> {
    fn new(text: &'a [u8]) -> Self {
        let (blocks, rest) = text.as_chunks::<64>();
        Self { blocks: blocks.iter(), rest, opening: 0, closing: 0, begin: 0, next: 0 }
    }

    /// The next `<`, which is passed.
    #[inline]
    fn next_opening(&mut self) -> Option<usize> {
        while self.opening == 0 {
            self.load()?;
        }
        Some(self.pass(self.opening.trailing_zeros()))
    }

    /// The next `>` or quote, which is passed.
    #[inline]
    fn next_closing(&mut self) -> Option<usize> {
        while self.closing == 0 {
            self.load()?;
        }
        Some(self.pass(self.closing.trailing_zeros()))
    }

    /// Passes over all up to a place, which is not behind.
    fn pass_over(&mut self, until: usize) {
        while self.next < until {
            if self.load().is_none() {
                break;
            }
        }
        if let Some(last) = until.checked_sub(self.begin + 1) {
            self.pass(u32::try_from(last).unwrap_or(u32::MAX));
        }
    }

    /// Passes over this block's bytes up to one; where that is.
    #[inline]
    fn pass(&mut self, bit: u32) -> usize {
        // Twice, for a shift by 64 is none.
        let left = u64::MAX.checked_shl(bit).unwrap_or_default() << 1;
        self.opening &= left;
        self.closing &= left;
        self.begin + bit as usize
    }

    /// Takes in the next block; none at the end.
    fn load(&mut self) -> Option<()> {
        let mut last = [0; 64];
        let block = match self.blocks.next() {
            Some(block) => block,
            None if self.rest.is_empty() => return None,
            None => {
                last.iter_mut().zip(std::mem::take(&mut self.rest)).for_each(|(to, from)| *to = *from);
                &last
            }
        };
        self.begin = self.next;
        self.next += 64;
        self.opening = places(block, |part| part.simd_eq(u8x16::splat(b'<')));
        self.closing = places(block, |part| {
            let quotes = part.simd_eq(u8x16::splat(b'"')) | part.simd_eq(u8x16::splat(b'\''));
            part.simd_eq(u8x16::splat(b'>')) | quotes
        });
        Some(())
    }
}

/// A bit for each byte of a block that is found, the first the lowest.
#[inline]
fn places(block: &[u8; 64], found: impl Fn(u8x16) -> u8x16) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    let bits = |places: u64, part: &[u8; 16]| places << 16 | u64::from(found(u8x16::new(*part)).to_bitmask());
    parts.iter().rev().fold(0, bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Result<Vec<(Kind, &str, &str)>, DocumentError> {
        let (mut tags, mut found) = (Tags::new(text), Vec::new());
        while let Some(tag) = tags.next_tag()? {
            assert!(text[tag.at.clone()].starts_with('<') && text[tag.at.clone()].ends_with('>'));
            found.push((tag.kind, tag.name(), tag.inner));
        }
        Ok(found)
    }

    #[test]
    fn marks_are_found_wherever_they_stand() {
        let text: Vec<u8> = (0..=255).chain(*b"<><'\"\"><").chain((0..=255).rev()).chain(*b"<").collect();
        let places = |from, wanted: &[u8]| (from..text.len()).find(|at| wanted.contains(&text[*at]));
        for from in 0..=text.len() {
            let mut marks = Marks::new(&text);
            marks.pass_over(from);
            let opening = marks.next_opening();
            assert_eq!(opening, places(from, b"<"), "from {from}");
            let behind = opening.map_or(text.len(), |at| at + 1);
            assert_eq!(marks.next_closing(), places(behind, b">\"'"), "from {from}");
        }
    }

    #[test]
    fn what_looks_like_a_tag_and_is_none_is_passed_over() {
        let long = "x".repeat(200);
        let text = format!(
            "<?xml v='>'?><!-- <a> {long} --><b c=\"/>'\" d='>\"'>'\"<![CDATA[<e>{long}]]></b x><f/>{long}<g h=''/>"
        );
        let expected = [
            (Kind::Begins, "b", "b c=\"/>'\" d='>\"'"),
            (Kind::Ends, "b", "b x"),
            (Kind::Is, "f", "f"),
            (Kind::Is, "g", "g h=''"),
        ];
        assert_eq!(tags(&text).unwrap(), expected);
    }

    #[test]
    fn what_breaks_off_is_told() {
        for text in ["<", "<a", "<a b='>", "</a", "<!-- <a>", "<![CDATA[<a>", "<?xml", "<!", "<!x>"] {
            assert_eq!(tags(text).unwrap_err(), DocumentError::Truncated, "{text}");
        }
        assert_eq!(tags("").unwrap(), []);
        assert_eq!(tags("a > b").unwrap(), []);
    }
}
