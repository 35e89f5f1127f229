//! Bad input, as people and programs give it: each refused with the field or the option, and with
//! what is allowed; nothing that was served before is lost; nothing panics.

mod manifests;
mod options;
mod requests;
mod umask;
