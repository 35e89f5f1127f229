//! Bad input of people and programs: each is refused with the field or option and the allowed values; the
//! previous state stays in force; nothing panics.

mod manifests;
mod options;
mod requests;
mod umask;
