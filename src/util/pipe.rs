//! Standard output into a program that reads only the beginning, as `head` does.

use std::io::{ErrorKind, Result, Write};

/// A stream whose reader may close it: later writes are dropped, and succeed.
#[derive(Debug)]
pub struct Pipe<W>(pub W);

/// Treats a broken pipe as success.
fn ignoring_broken_pipe<T>(result: Result<T>, written: T) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(written),
        other => other,
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        ignoring_broken_pipe(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        ignoring_broken_pipe(self.0.flush(), ())
    }
}
