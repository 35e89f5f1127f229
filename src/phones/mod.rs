//! Phones by vendor and model: what they can do, which extra settings are allowed, their time zones, and what a
//! phone must know, before any vendor's file format. Sources: the vendors' documents, as `docs/phones.md` lists them.

pub mod dial_plan;
pub mod keys;
mod language;
pub mod mac;
pub mod models;
pub mod notify;
pub mod phone;
pub mod settings;
pub mod site;
pub mod time_zone;

pub use mac::Mac;
pub use phone::Phone;
pub use site::{ProvisioningUrls, Site};
