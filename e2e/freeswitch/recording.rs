//! Recordings in the media directory.

use std::path::{Path, PathBuf};

use regex::Regex;

/// Frequency of the tone of recorded calls, and another for comparison.
const TONE: f64 = 1400.0;
const OTHER: f64 = 650.0;

/// All recordings of all tenants.
pub fn files(media: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![media.join("tenants")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.expect("its entry").path();
            match path.extension() {
                _ if path.is_dir() => left.push(path),
                Some(extension) if extension == "wav" => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// Checks the name of a recording: tenant, month and leg.
pub fn assert_name(file: &Path) {
    let uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    let name = format!(r"/tenants/{uuid}/recordings/[0-9]{{4}}/[0-9]{{2}}/{uuid}\.wav$");
    assert!(Regex::new(&name).unwrap().is_match(file.to_str().unwrap()), "{}", file.display());
}

/// Checks that a recording is a WAV file with the tone in its first second and conversation after it.
pub fn assert_tone(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]), "{}", file.display());
    let rate = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
    let data = bytes.windows(4).position(|word| word == b"data").expect("a data chunk") + 8;
    let samples: Vec<f64> =
        bytes[data..].chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    let seconds = samples.len() as f64 / f64::from(rate);
    assert!(seconds > 2.0, "{seconds} s of a call of more than two");
    let first = &samples[..rate as usize];
    let (tone, other) = (power(first, TONE, rate), power(first, OTHER, rate));
    assert!(tone > 100.0 * other.max(1.0), "1400 Hz: {tone}, 650 Hz: {other}");
}

/// Amplitude of a frequency (Goertzel).
fn power(samples: &[f64], frequency: f64, rate: u32) -> f64 {
    let turn = 2.0 * (2.0 * std::f64::consts::PI * frequency / f64::from(rate)).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, sample + turn * last - before);
    }
    (before * before + last * last - turn * before * last) / samples.len() as f64
}
