//! Facts about the numbers of every country.

mod emergency_numbers;

pub use emergency_numbers::{emergency_numbers, known_emergency_numbers};
