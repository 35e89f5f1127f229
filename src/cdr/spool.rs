//! Call records that wait for Postgres, in append-only files.
//!
//! When `append` returns, the records are on disk. A record that was half-written when the process died was
//! never acknowledged, and is skipped. A record that the disk damaged is skipped too; the records after it
//! are found by their mark. A process appends only to files that it created itself.
//!
//! A file is a sequence of records: mark (8 bytes), length of the rest (4), first bytes of its SHA-256 (8),
//! then the rest: time of arrival in µs (8), encoding (1), body. Numbers are little endian.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::document::Encoding;
use super::metrics::CdrMetrics;

/// Suffix of every file's name, after its number.
const SUFFIX: &str = ".cdrs";
/// Size from which the next record begins another file. Files are replayed and removed one by one.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Begins each record, so that the next record can be found after a damaged one.
const MARK: [u8; 8] = *b"\xc5cdr\0\x1a\r\n";
/// Bytes of mark, length and digest.
const HEADER: usize = 20;
/// Bytes of time and encoding, before the body.
const PREFIX: usize = 9;
/// Failures to read a file after which it is set aside until the next start.
const MAX_READ_FAILURES: u32 = 5;

/// A record as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Time of arrival.
    pub at: Timestamp,
    /// Encoding of the body.
    pub encoding: Encoding,
    /// The body.
    pub body: Bytes,
}

/// Why records cannot be spooled.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The spool is full.
    #[error("{bytes} bytes of call records wait for Postgres; the limit is reached (--cdr-spool-bytes)")]
    Full {
        /// Bytes in the spool.
        bytes: u64,
    },
    /// The disk is full or fails.
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
    /// Arrival of its first record.
    oldest: Timestamp,
    /// Failures to read it.
    failures: u32,
}

/// The directory.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limit: u64,
    segments: Vec<Segment>,
    /// Files that cannot be read or removed. They count towards the limit; the next start tries them again.
    aside: Vec<Segment>,
    /// Number of the next file; higher than all numbers so far.
    next: u64,
    /// The last segment, while it accepts records.
    writing: Option<File>,
    metrics: CdrMetrics,
}

impl Spool {
    /// Opens a directory, creating it if missing, and finds the files that wait in it.
    ///
    /// # Errors
    /// The directory cannot be created or read.
    pub fn open(directory: &Path, limit: u64, metrics: CdrMetrics) -> Result<Self, SpoolError> {
        let failed = |source| SpoolError::Io { path: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        // The directory's own name must be on disk too.
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        }
        let (directory, segments, aside) = (directory.to_owned(), Vec::new(), Vec::new());
        let mut spool = Self { directory, limit, segments, aside, next: 1, writing: None, metrics };
        let mut numbers: Vec<u64> = fs::read_dir(&spool.directory)
            .map_err(failed)?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(SUFFIX)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            spool.next = number.saturating_add(1);
            spool.add_existing(number);
        }
        spool.publish_metrics();
        Ok(spool)
    }

    /// Whether no records wait.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends records, with one write and one fsync for all of them.
    ///
    /// # Errors
    /// The spool is full, or the disk fails. No record was appended then.
    pub fn append(&mut self, records: &[Received]) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, &mut bytes));
        let Some(first) = records.first() else { return Ok(()) };
        let bytes_before = self.bytes();
        if bytes_before + bytes.len() as u64 > self.limit {
            return Err(SpoolError::Full { bytes: bytes_before });
        }
        if self.segments.last().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES) {
            self.writing = None;
        }
        if self.writing.is_none() {
            self.begin_segment(first.at)?;
        }
        let (Some(file), Some(segment)) = (&mut self.writing, self.segments.last_mut()) else {
            return Ok(());
        };
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(source) = written {
            let path = self.directory.join(name(segment.number));
            // Removes the half-written records; if that fails, readers skip them. The next record begins
            // another file.
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
        self.publish_metrics();
        Ok(())
    }

    /// Reads the oldest file: its number, for [`Spool::remove`], and its records. `None` if no records wait.
    /// The file accepts no more records.
    ///
    /// # Errors
    /// The file cannot be read. After five failures it is set aside.
    pub fn oldest(&mut self) -> Result<Option<(u64, Vec<Received>)>, SpoolError> {
        let Some(number) = self.segments.first().map(|segment| segment.number) else { return Ok(None) };
        if self.segments.len() == 1 {
            self.writing = None;
        }
        match self.read(number) {
            Ok(records) => Ok(Some((number, records))),
            Err(cause) => {
                if let Some(segment) = self.segments.first_mut() {
                    segment.failures += 1;
                    if segment.failures >= MAX_READ_FAILURES {
                        self.set_aside(number);
                    }
                }
                Err(cause)
            }
        }
    }

    /// Removes a file whose records are all in Postgres.
    ///
    /// # Errors
    /// The file cannot be removed. Its records are delivered again at the next start.
    pub fn remove(&mut self, number: u64) -> Result<(), SpoolError> {
        let path = self.directory.join(name(number));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                self.set_aside(number);
                return Err(SpoolError::Io { path, source });
            }
            _ => self.segments.retain(|segment| segment.number != number),
        }
        self.publish_metrics();
        Ok(())
    }

    fn set_aside(&mut self, number: u64) {
        self.aside.extend(self.segments.extract_if(.., |segment| segment.number == number));
    }

    fn all(&self) -> impl Iterator<Item = &Segment> {
        self.aside.iter().chain(&self.segments)
    }

    fn bytes(&self) -> u64 {
        self.all().map(|segment| segment.bytes).sum()
    }

    fn read(&self, number: u64) -> Result<Vec<Received>, SpoolError> {
        let path = self.directory.join(name(number));
        let bytes =
            Bytes::from(fs::read(&path).map_err(|source| SpoolError::Io { path: path.clone(), source })?);
        let (records, skipped) = decode(&bytes);
        if skipped > 0 {
            tracing::warn!(
                path = %path.display(), bytes = skipped,
                "incomplete call records were skipped: half-written and never acknowledged, or damaged on the disk"
            );
        }
        Ok(records)
    }

    /// Adds a file that an earlier process left. Only its headers are read now, because FreeSWITCH waits for
    /// this process to start.
    fn add_existing(&mut self, number: u64) {
        let path = self.directory.join(name(number));
        match survey(&path) {
            Ok((bytes, records, oldest)) => {
                self.segments.push(Segment { number, bytes, records, oldest, failures: 0 });
            }
            Err(source) => {
                let cause = SpoolError::Io { path, source };
                tracing::error!(category = cause.category(), %cause, "spooled call records cannot be read");
                let oldest = Timestamp::now();
                self.aside.push(Segment { number, bytes: 0, records: 0, oldest, failures: 0 });
            }
        }
    }

    /// Creates the next file, whose name is on disk before its content.
    fn begin_segment(&mut self, oldest: Timestamp) -> Result<(), SpoolError> {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let path = self.directory.join(name(number));
        let made = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| File::open(&self.directory)?.sync_all().map(|()| file));
        self.writing = Some(made.map_err(|source| SpoolError::Io { path, source })?);
        self.segments.push(Segment { number, bytes: 0, records: 0, oldest, failures: 0 });
        Ok(())
    }

    fn publish_metrics(&self) {
        self.metrics.spool_bytes.set(i64::try_from(self.bytes()).unwrap_or(i64::MAX));
        self.metrics.spool_records.set(self.all().map(|segment| segment.records).sum());
        let oldest =
            self.all().map(|segment| segment.oldest).min().map_or(0.0, |at| at.as_millisecond() as f64 / 1e3);
        self.metrics.spool_oldest.set(oldest);
    }
}

fn name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// Size of a file, number of its records by their headers, and arrival of the first.
fn survey(path: &Path) -> io::Result<(u64, i64, Timestamp)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let (mut at, mut records, mut oldest) = (0, 0, None);
    let mut head = [0; HEADER + 8];
    while at + (HEADER + PREFIX) as u64 <= bytes {
        file.read_exact_at(&mut head, at)?;
        let Some((length, received)) = parse_header(&head) else { break };
        at += HEADER as u64 + length;
        if at <= bytes {
            records += 1;
            oldest = oldest.or(received);
        }
    }
    // A directory can be opened but not read: fails here.
    file.read_at(&mut head, 0)?;
    Ok((bytes, records, oldest.unwrap_or_else(Timestamp::now)))
}

/// Parses a header: the length of what follows it, and the arrival of the record.
fn parse_header(head: &[u8; HEADER + 8]) -> Option<(u64, Option<Timestamp>)> {
    let (length, rest) = head.strip_prefix(&MARK)?.split_first_chunk::<4>()?;
    let received = i64::from_le_bytes(*rest.last_chunk()?);
    Some((u32::from_le_bytes(*length).into(), Timestamp::from_microsecond(received).ok()))
}

fn digest(parts: [&[u8]; 3]) -> [u8; 8] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let whole: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|at| whole.get(at).copied().unwrap_or_default())
}

fn encode(record: &Received, out: &mut Vec<u8>) {
    let (at, encoding) = (record.at.as_microsecond().to_le_bytes(), [record.encoding as u8]);
    // A body is at most 1 MiB (http/body.rs), a file in err-log-dir three (err_log_dir.rs).
    let length = u32::try_from(record.body.len() + PREFIX).unwrap_or(u32::MAX);
    out.extend(MARK);
    out.extend(length.to_le_bytes());
    out.extend(digest([&at, &encoding, &record.body]));
    out.extend(at);
    out.extend(encoding);
    out.extend_from_slice(&record.body);
}

/// The whole records in bytes, and how many bytes belong to none.
fn decode(bytes: &Bytes) -> (Vec<Received>, usize) {
    let (mut records, mut at, mut skipped) = (Vec::new(), 0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match decode_one(bytes, rest) {
            Some((record, length)) => {
                records.push(record);
                at += length;
            }
            None => {
                let behind = rest.get(1..).unwrap_or_default();
                let next = behind.windows(MARK.len()).position(|window| window == MARK);
                let length = next.map_or(rest.len(), |next| next + 1);
                skipped += length;
                at += length;
            }
        }
    }
    (records, skipped)
}

/// The record that `rest`, a part of `bytes`, begins with, and its length.
fn decode_one(bytes: &Bytes, rest: &[u8]) -> Option<(Received, usize)> {
    let (header, rest) = rest.split_at_checked(HEADER)?;
    let (length, wanted) = header.strip_prefix(&MARK)?.split_at_checked(4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let (at, tail) = rest.get(..length)?.split_at_checked(8)?;
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
    fn appended_records_survive_a_crash_and_a_torn_tail_is_dropped() {
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
    fn only_damaged_records_are_lost() {
        let mut one = Vec::new();
        encode(&record("one"), &mut one);
        let mut all = one.clone();
        encode(&record("two"), &mut all);
        let two = one.len()..all.len();
        encode(&record("three"), &mut all);
        for at in two {
            for bit in [0x01, 0x80] {
                let mut spoilt = all.clone();
                spoilt[at] ^= bit;
                let (records, skipped) = decode(&spoilt.into());
                assert_eq!(records, [record("one"), record("three")], "byte {at}");
                assert_eq!(skipped, one.len(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_record_may_contain_any_bytes() {
        let mark = std::str::from_utf8(&MARK[1..]).unwrap();
        let records = [record(mark), record(""), record(&"\0".repeat(3000)), record(mark)];
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, &mut bytes));
        assert_eq!(decode(&bytes.into()), (records.to_vec(), 0));
    }

    #[test]
    fn an_unreadable_file_does_not_block_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(name(1));
        fs::create_dir(&file).unwrap(); // nobody can read that as a file, root neither
        let mut spool = open(directory.path(), 1 << 20);
        assert!(spool.is_empty());
        spool.append(&[record("one")]).unwrap();
        assert_eq!(spool.oldest().unwrap().unwrap(), (2, vec![record("one")]));
        assert!(file.exists(), "it was removed without being read");

        // A file that could be read at the start becomes unreadable.
        let file = directory.path().join(name(2));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        spool.append(&[record("two")]).unwrap();
        for _ in 0..MAX_READ_FAILURES {
            assert_eq!(spool.oldest().unwrap_err().category(), "spool_io");
        }
        assert_eq!(spool.oldest().unwrap().unwrap(), (3, vec![record("two")]));
    }

    #[test]
    fn a_full_spool_refuses_records_with_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), 60);
        spool.append(&[record("one")]).unwrap();
        let error = spool.append(&[record(&"x".repeat(100))]).unwrap_err();
        assert_eq!(error.category(), "spool_full");
        assert!(error.to_string().contains("--cdr-spool-bytes"), "{error}");
        assert_eq!(spool.oldest().unwrap().unwrap().1, [record("one")]);
    }
}
