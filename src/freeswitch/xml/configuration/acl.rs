//! acl.conf: the networks that carriers' calls come from.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Serialize;

use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::route::names;

/// Values of `configuration/acl.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct AccessControl {
    pub name: &'static str,
    pub networks: BTreeSet<IpNet>,
}

pub(super) fn answer(answers: &Answers) -> Result<Answer, AnswerError> {
    let platform = answers.replica.platform();
    let networks =
        platform.trunks.values().flat_map(|trunk| trunk.source_addresses.iter().copied()).collect();
    let values = AccessControl { name: names::TRUNKS_ACL, networks };
    Ok(render::document(&answers.templates, "configuration/acl.xml", &values)?)
}
