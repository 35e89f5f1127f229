//! Ring groups as FreeSWITCH's own groups.

use serde::Serialize;

use super::Lookup;
use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::{Answer, AnswerError, render};
use crate::plan::RingGroupRow;
use crate::resources::common::DestinationKind;

/// Values of `directory/group.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Group<'a> {
    pub domain: &'a str,
    pub group: &'a str,
    pub members: Vec<Member<'a>>,
}

/// A member of a group.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Member<'a> {
    pub user: &'a str,
    pub dial_string: String,
}

impl Lookup<'_> {
    /// Answers with the ring group that the lookup names, by name or number.
    pub(super) fn group(&self) -> Result<Answer, AnswerError> {
        let name = self.form.text(Field::GroupName);
        let Some(row) = self.ring_group(&name) else { return Ok(Answer::NotFound) };
        let plan = &self.tenant.plan;
        let numbers =
            row.members.iter().filter_map(|member| Some(&plan.extensions.get(&member.extension)?.number));
        let members = numbers.map(|user| Member { user, dial_string: self.dial_string(user) }).collect();
        let values = Group { domain: self.asked, group: &name, members };
        Ok(render::document(&self.answers.templates, "directory/group.xml", &values)?)
    }

    fn ring_group(&self, name: &str) -> Option<&RingGroupRow> {
        let groups = &self.tenant.plan.ring_groups;
        groups.get(name).or_else(|| {
            let target = self.tenant.number(name)?;
            (target.kind == DestinationKind::RingGroup).then(|| groups.get(&target.name))?
        })
    }
}
