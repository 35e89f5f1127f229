//! The tags of a document. Nothing is allocated, and text between them is not looked at: quick-xml
//! makes an event of each piece and checks it to be UTF-8 again, which is most of what it takes.

use std::ops::Range;

use memchr::memmem;
use wide::u8x16;

use super::document::DocumentError;
use crate::util::lookup::places;

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
    /// The name of an element that begins. One that holds a space ends there.
    pub name: &'a str,
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
    #[inline]
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
                    let (end, _) = self.end_of_tag()?;
                    return Ok(Some(Tag { kind: Kind::Ends, at: start..end + 1, inner: "", name: "" }));
                }
                _ => return self.begins(start).map(Some),
            }
        }
        Ok(None)
    }

    /// A tag that begins an element.
    #[inline]
    fn begins(&mut self, start: usize) -> Result<Tag<'a>, DocumentError> {
        let (end, space) = self.end_of_tag()?;
        let is = end > start + 1 && self.byte(end - 1) == Some(b'/');
        let (kind, inner_end) = if is { (Kind::Is, end - 1) } else { (Kind::Begins, end) };
        // All ends are beside characters of one byte.
        let inner = self.text.get(start + 1..inner_end).unwrap_or_default();
        let name = space.and_then(|end| self.text.get(start + 1..end)).unwrap_or(inner);
        Ok(Tag { kind, at: start..end + 1, inner, name })
    }

    /// Where the tag ends that has begun, and its first space: what is in quotes does not end it.
    #[inline]
    fn end_of_tag(&mut self) -> Result<(usize, Option<usize>), DocumentError> {
        let mut space = None;
        loop {
            let at = self.close(|_| true)?;
            match self.byte(at) {
                Some(b'>') => return Ok((at, space)),
                Some(quote @ (b'"' | b'\'')) => {
                    self.close(|byte| byte == quote)?;
                }
                Some(b' ' | b'\t' | b'\r' | b'\n') => space = space.or(Some(at)),
                _ => {}
            }
        }
    }

    /// The next closing mark that is wanted.
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

/// Where tags begin, and where they or parts of them may end. There is one every few bytes: whether any
/// of 64 bytes is one is found together, and no search is begun anew after each.
#[derive(Debug)]
struct Marks<'a> {
    blocks: std::slice::Iter<'a, [u8; 64]>,
    rest: &'a [u8],
    /// A bit for each mark of this block that was not passed yet, the first the lowest: of `<`, and of
    /// `>`, quotes, spaces and whatever is less than a space.
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

    /// The next `>`, quote, space or the like, which is passed.
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
        let left = u64::MAX << bit.min(63) << 1;
        self.opening &= left;
        self.closing &= left;
        self.begin + bit as usize
    }

    /// Takes in the next block; none at the end.
    fn load(&mut self) -> Option<()> {
        let mut last = [u8::MAX; 64];
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
            let spaces = part.min(u8x16::splat(b' ')).simd_eq(part);
            part.simd_eq(u8x16::splat(b'>')) | quotes | spaces
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Result<Vec<(Kind, &str, &str)>, DocumentError> {
        let (mut tags, mut found) = (Tags::new(text), Vec::new());
        while let Some(tag) = tags.next_tag()? {
            assert!(text[tag.at.clone()].starts_with('<') && text[tag.at.clone()].ends_with('>'));
            found.push((tag.kind, tag.name, tag.inner));
        }
        Ok(found)
    }

    #[test]
    fn marks_are_found_wherever_they_stand() {
        let text: Vec<u8> = (0..=255).chain(*b"<><'\"\"><").chain((0..=255).rev()).chain(*b"<").collect();
        for from in 0..=text.len() {
            let mut marks = Marks::new(&text);
            marks.pass_over(from);
            let opening = marks.next_opening();
            assert_eq!(opening, (from..text.len()).find(|at| text[*at] == b'<'), "from {from}");
            let behind = opening.map_or(text.len(), |at| at + 1);
            assert_eq!(
                marks.next_closing(),
                (behind..text.len()).find(|at| b">\"'".contains(&text[*at]) || text[*at] <= b' '),
                "from {from}"
            );
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
            (Kind::Ends, "", ""),
            (Kind::Is, "f", "f"),
            (Kind::Is, "g", "g h=''"),
        ];
        assert_eq!(tags(&text).unwrap(), expected);
    }

    #[test]
    fn what_breaks_off_is_told() {
        for text in ["<", "<a", "<a b='>", "</a", "</a'>", "<!-- <a>", "<![CDATA[<a>", "<?xml", "<!", "<!x>"]
        {
            assert_eq!(tags(text).unwrap_err(), DocumentError::Truncated, "{text}");
        }
        assert_eq!(tags("").unwrap(), []);
        assert_eq!(tags("a > b").unwrap(), []);
    }
}
