//! The files that phones fetch: their names, the formats and their escapes, the templates of each vendor, and what is
//! derived for a vendor in code because a template could not do it safely. Nothing here decides who may fetch.

pub mod file;
pub mod format;
pub mod phonebook;
pub mod render;
mod samples;
pub mod secrets;
pub mod server;
mod settings;
pub mod templates;
mod vendor;

pub use file::FileName;
pub use render::{RenderError, Rendered, file_names, render};
pub use secrets::PhoneSecrets;
pub use templates::Templates;
