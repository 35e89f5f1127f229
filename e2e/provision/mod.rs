//! The server of phones' files, as `centrex standalone` and `centrex api` run it.

mod access;
mod boot;
pub mod client;
mod enrollment;
mod enumeration;
mod hostile;
mod render;
mod scene;
mod transport;
