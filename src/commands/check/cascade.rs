//! What follows from a mistake that is told already, and is held back.
//!
//! A file is taken whole or not at all, so that compile misses everything that stands in a file in
//! which something is wrong. What is there is not to be called missing, once by every resource that
//! refers to it: the mistake that keeps it out is the one to mend.

use std::collections::{BTreeSet, HashSet};

use crate::compile::{Effect, Problem, Reason};
use crate::source::ObjectKey;

/// The problems that would be there, as far as can be told, if what was refused had been taken. Where some
/// objects are `unknown`, for a file cannot be read, whatever is missing may be among them.
pub(super) fn without_cascades(
    mut problems: Vec<Problem>,
    refused: &BTreeSet<ObjectKey>,
    unknown: bool,
) -> Vec<Problem> {
    let mut absent: HashSet<String> = refused.iter().map(ToString::to_string).collect();
    loop {
        let (held_back, rest): (Vec<_>, Vec<_>) = problems
            .into_iter()
            .partition(|problem| follows(problem, &absent) || (unknown && may_follow(problem.reason)));
        problems = rest;
        // What is refused for what was held back keeps others out in turn.
        let out = held_back.iter().filter(|problem| problem.effect != Effect::Degraded);
        let before = absent.len();
        absent.extend(out.map(|problem| problem.resource.to_string()));
        if absent.len() == before {
            return problems;
        }
    }
}

/// Whether a problem is that one of these is not there, or not accepted.
fn follows(problem: &Problem, absent: &HashSet<String>) -> bool {
    match problem.reason {
        Reason::RefNotFound | Reason::RefRefused | Reason::CredentialsPending => {
            named(problem).any(|name| absent.contains(&name)) || lacks_route(problem, absent)
        }
        // A call goes another way when anything on its way is missing.
        Reason::TestFailed => !absent.is_empty(),
        _ => false,
    }
}

/// Whether no route leads to a number, and a route is among what is absent: compile names none.
fn lacks_route(problem: &Problem, absent: &HashSet<String>) -> bool {
    problem.message.starts_with("no OutboundRoute of ")
        && absent.iter().any(|name| name.starts_with("OutboundRoute "))
}

/// Whether a problem may be there because something is missing: it, the labels of its namespace, or what a
/// call would have come to.
fn may_follow(reason: Reason) -> bool {
    use Reason::{CredentialsPending, RefNotFound, RefNotPermitted, TestFailed};
    matches!(reason, RefNotFound | CredentialsPending | RefNotPermitted | TestFailed)
}

/// What a problem may name, written as keys are. Compile says what it misses as kind and name, one
/// word after the other; the namespace stands with the name, or after it, or is the resource's own.
pub(super) fn named(problem: &Problem) -> impl Iterator<Item = String> {
    let (message, namespace) = (problem.message.as_str(), named_namespace(problem));
    message.split(' ').zip(message.split(' ').skip(1)).flat_map(move |(kind, name)| {
        let local = namespace.map(|namespace| format!("{kind} {namespace}/{name}"));
        local.into_iter().chain([format!("{kind} {name}")])
    })
}

/// The namespace that what a problem names is in: the one that is said, or the resource's own.
pub(super) fn named_namespace(problem: &Problem) -> Option<&str> {
    let said = problem.message.split_once(" in namespace ");
    let said = said.and_then(|(_, rest)| rest.split([' ', ';', ',', ':']).next());
    said.or(problem.resource.namespace.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Kind;

    #[test]
    fn a_namespace_ends_where_its_name_does() {
        let tenant =
            ObjectKey { kind: Kind::Tenant, namespace: Some("acme".to_owned()), name: "acme".to_owned() };
        let message = "there is no Trunk telco in namespace carriers; there is no other that it may use";
        let problem = Problem::refused(tenant, "spec.emergency.trunkRef", Reason::RefNotFound, message);
        assert!(named(&problem).any(|name| name == "Trunk carriers/telco"));
    }

    #[test]
    fn what_misses_a_route_or_fails_a_test_follows_from_a_route_that_is_refused() {
        let key =
            |kind, name: &str| ObjectKey { kind, namespace: Some("acme".to_owned()), name: name.to_owned() };
        let problem = |kind, reason, message: &str| {
            Problem::refused(key(kind, "welcome"), "spec.otherwise", reason, message)
        };
        let unreached = "no OutboundRoute of tenant acme leads to +442079460123";
        let problems = vec![
            problem(Kind::IvrMenu, Reason::RefNotFound, unreached),
            problem(Kind::RoutingTest, Reason::TestFailed, "the call ends elsewhere"),
            problem(Kind::Queue, Reason::RefNotFound, "tenant acme has no Extension alice"),
        ];
        let route = BTreeSet::from([key(Kind::OutboundRoute, "abroad")]);
        let left = without_cascades(problems.clone(), &route, false);
        assert_eq!(left, problems[2..]);
        assert_eq!(without_cascades(problems.clone(), &BTreeSet::new(), false), problems);
    }
}
