//! Standard output into a program that reads only its beginning, as `head` does.

use std::io::{ErrorKind, Result, Write};

/// A stream whose reader may go away: what comes after that is dropped, and is no error.
#[derive(Debug)]
pub struct Pipe<W>(pub W);

/// What becomes of a write whose reader has gone away.
fn dropped<T>(result: Result<T>, written: T) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(written),
        other => other,
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        dropped(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        dropped(self.0.flush(), ())
    }
}
