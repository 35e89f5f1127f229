//! Call records that wait for Postgres, in files that are only appended to. What was appended is on
//! the disk when `append` returns; a tail that was half-written when the process died was never
//! acknowledged, and is cut off at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::document::Encoding;
use super::metrics::CdrMetrics;

/// Ends the name of every file; its number comes before.
const SUFFIX: &str = ".cdrs";
/// A file this large is followed by another one: they are replayed and removed one by one.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Before each record: length of what follows (4 bytes), beginning of its SHA-256 (8).
const HEADER: usize = 12;
/// Before each body: when it was received in µs (8 bytes), its encoding (1).
const PREFIX: usize = 9;

/// A record as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When.
    pub at: Timestamp,
    /// How the body is written.
    pub encoding: Encoding,
    /// The body.
    pub body: Bytes,
}

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// As much waits as may wait.
    #[error("{bytes} bytes of call records wait for Postgres, which is all that may (--cdr-spool-bytes)")]
    Full {
        /// What waits.
        bytes: u64,
    },
    /// The disk is full, or worse.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SpoolError {
    /// The kind of error, stable, for metrics and logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Full { .. } => "spool_full",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "disk_full",
            Self::Io { .. } => "spool_io",
        }
    }
}

/// One file.
#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    records: i64,
    /// When its first record came.
    oldest: Timestamp,
}

/// The directory.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limit: u64,
    segments: Vec<Segment>,
    /// The last segment, while it is appended to.
    writing: Option<File>,
    metrics: CdrMetrics,
}

impl Spool {
    /// Opens a directory, which is made when it is not there, and finds what waits in it.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(directory: &Path, limit: u64, metrics: CdrMetrics) -> Result<Self, SpoolError> {
        let failed = |source| SpoolError::Io { path: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let mut spool =
            Self { directory: directory.to_owned(), limit, segments: Vec::new(), writing: None, metrics };
        let mut numbers: Vec<u64> = fs::read_dir(directory)
            .map_err(failed)?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(SUFFIX)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            spool.find(number)?;
        }
        spool.tell();
        Ok(spool)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Keeps records, with one write and one fsync for all of them.
    ///
    /// # Errors
    /// [`SpoolError`]; none of them is kept then.
    pub fn append(&mut self, records: &[Received]) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, &mut bytes));
        let Some(first) = records.first() else { return Ok(()) };
        let held = self.bytes();
        if held + bytes.len() as u64 > self.limit {
            return Err(SpoolError::Full { bytes: held });
        }
        if self.segments.last().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES) {
            self.writing = None;
        }
        if self.writing.is_none() {
            self.begin(first.at)?;
        }
        let (Some(file), Some(segment)) = (&mut self.writing, self.segments.last_mut()) else {
            return Ok(());
        };
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(source) = written {
            let path = self.directory.join(name(segment.number));
            // Gives back the space that was not enough, so that the next record begins where the
            // last whole one ends; where even that fails, in a file of its own.
            let end = segment.bytes;
            let _ = file.set_len(end);
            self.writing = None;
            if end == 0 {
                self.segments.pop();
                let _ = fs::remove_file(&path);
            }
            return Err(SpoolError::Io { path, source });
        }
        segment.bytes += bytes.len() as u64;
        segment.records += i64::try_from(records.len()).unwrap_or(i64::MAX);
        self.tell();
        Ok(())
    }

    /// The records of the oldest file, with its number to remove it by; none when nothing waits.
    /// It is not appended to any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn oldest(&mut self) -> Result<Option<(u64, Vec<Received>)>, SpoolError> {
        let Some(number) = self.segments.first().map(|segment| segment.number) else { return Ok(None) };
        if self.segments.len() == 1 {
            self.writing = None;
        }
        let bytes = self.read(number)?;
        Ok(Some((number, decode(&bytes).0)))
    }

    /// Forgets a file whose records are all in Postgres.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&mut self, number: u64) -> Result<(), SpoolError> {
        let path = self.directory.join(name(number));
        fs::remove_file(&path).map_err(|source| SpoolError::Io { path, source })?;
        self.segments.retain(|segment| segment.number != number);
        self.tell();
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn read(&self, number: u64) -> Result<Bytes, SpoolError> {
        let path = self.directory.join(name(number));
        fs::read(&path).map(Bytes::from).map_err(|source| SpoolError::Io { path, source })
    }

    /// Takes in a file that an earlier process left.
    fn find(&mut self, number: u64) -> Result<(), SpoolError> {
        let bytes = self.read(number)?;
        let (records, whole) = decode(&bytes);
        let path = self.directory.join(name(number));
        if whole < bytes.len() {
            tracing::warn!(
                path = %path.display(), bytes = bytes.len() - whole,
                "a call record that was never acknowledged is cut off"
            );
        }
        let cut = match records.first() {
            None => fs::remove_file(&path),
            Some(_) if whole < bytes.len() => OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_len(whole as u64).and_then(|()| file.sync_all())),
            Some(_) => Ok(()),
        };
        cut.map_err(|source| SpoolError::Io { path, source })?;
        if let Some(first) = records.first() {
            let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
            self.segments.push(Segment { number, bytes: whole as u64, records: count, oldest: first.at });
        }
        Ok(())
    }

    /// Begins another file. Its name is on the disk before anything in it is.
    fn begin(&mut self, oldest: Timestamp) -> Result<(), SpoolError> {
        let number = self.segments.last().map_or(1, |segment| segment.number + 1);
        let path = self.directory.join(name(number));
        let made = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| File::open(&self.directory)?.sync_all().map(|()| file));
        self.writing = Some(made.map_err(|source| SpoolError::Io { path, source })?);
        self.segments.push(Segment { number, bytes: 0, records: 0, oldest });
        Ok(())
    }

    fn tell(&self) {
        self.metrics.spool_bytes.set(i64::try_from(self.bytes()).unwrap_or(i64::MAX));
        self.metrics.spool_records.set(self.segments.iter().map(|segment| segment.records).sum());
        let oldest =
            self.segments.first().map_or(0.0, |segment| segment.oldest.as_millisecond() as f64 / 1e3);
        self.metrics.spool_oldest.set(oldest);
    }
}

fn name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

fn digest(parts: [&[u8]; 3]) -> [u8; 8] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let whole: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|at| whole.get(at).copied().unwrap_or_default())
}

fn encode(record: &Received, out: &mut Vec<u8>) {
    let (at, encoding) = (record.at.as_microsecond().to_le_bytes(), [record.encoding as u8]);
    // A body is at most 1 MiB (http/body.rs).
    let length = u32::try_from(record.body.len() + PREFIX).unwrap_or(u32::MAX);
    out.extend(length.to_le_bytes());
    out.extend(digest([&at, &encoding, &record.body]));
    out.extend(at);
    out.extend(encoding);
    out.extend_from_slice(&record.body);
}

/// The whole records that bytes begin with, and where they end.
fn decode(bytes: &Bytes) -> (Vec<Received>, usize) {
    let (mut records, mut end) = (Vec::new(), 0);
    while let Some((record, length)) = decode_one(bytes, end) {
        records.push(record);
        end += length;
    }
    (records, end)
}

fn decode_one(bytes: &Bytes, start: usize) -> Option<(Received, usize)> {
    let rest = bytes.get(start..)?;
    let length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize;
    let wanted = rest.get(4..HEADER)?;
    let payload = rest.get(HEADER..HEADER.checked_add(length)?)?;
    let (at, tail) = payload.split_at_checked(8)?;
    let (encoding, body) = tail.split_at_checked(1)?;
    if digest([at, encoding, body]) != wanted {
        return None;
    }
    let at = Timestamp::from_microsecond(i64::from_le_bytes(at.try_into().ok()?)).ok()?;
    let encoding = Encoding::from_number(*encoding.first()?)?;
    Some((Received { at, encoding, body: bytes.slice_ref(body) }, HEADER + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Received {
        let at = Timestamp::from_microsecond(1_795_220_874_660_840).unwrap();
        Received { at, encoding: Encoding::Xml, body: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn open(directory: &Path, limit: u64) -> Spool {
        Spool::open(directory, limit, CdrMetrics::default()).unwrap()
    }

    #[test]
    fn what_was_appended_is_there_after_a_crash_without_its_torn_tail() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), 1 << 20);
        spool.append(&[record("one"), record("two")]).unwrap();
        let file = directory.path().join(name(1));
        let whole = fs::read(&file).unwrap();
        let mut torn = whole.clone();
        encode(&record("three"), &mut torn);
        for cut in whole.len()..torn.len() {
            fs::write(&file, &torn[..cut]).unwrap();
            let mut spool = open(directory.path(), 1 << 20);
            assert_eq!(spool.oldest().unwrap().unwrap(), (1, vec![record("one"), record("two")]));
            assert_eq!(fs::read(&file).unwrap(), whole);
        }
        let mut spool = open(directory.path(), 1 << 20);
        spool.append(&[record("four")]).unwrap();
        assert_eq!(spool.oldest().unwrap().unwrap().0, 1, "the older file comes first");
        spool.remove(1).unwrap();
        assert_eq!(spool.oldest().unwrap().unwrap().1, [record("four")]);
        spool.remove(2).unwrap();
        assert!(spool.is_empty() && open(directory.path(), 1).is_empty());
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), 60);
        spool.append(&[record("one")]).unwrap();
        let error = spool.append(&[record(&"x".repeat(100))]).unwrap_err();
        assert_eq!(error.category(), "spool_full");
        assert!(error.to_string().contains("--cdr-spool-bytes"), "{error}");
        assert_eq!(spool.oldest().unwrap().unwrap().1, [record("one")]);
    }
}
