//! Answers to FreeSWITCH: the contract's twelve rules, §9 and §10, each with a test of its name.

pub mod client;
mod configuration;
mod dialplan;
mod directory;
mod hostile;
mod http;
mod rules;
pub mod sample;
pub mod tree;
