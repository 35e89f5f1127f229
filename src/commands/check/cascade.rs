//! Suppresses problems that only follow from a mistake that is reported already.
//!
//! A file with a mistake is refused as a whole, so that compile does not see its other resources either.
//! Every reference to them would be reported as missing; only the mistake in the file is worth reporting.

use std::collections::{BTreeSet, HashSet};

use crate::compile::{Effect, Problem, Reason};
use crate::source::ObjectKey;

/// The problems that would be left, as far as can be known, if the `refused` objects had been accepted. With
/// `unknown`, a file could not be read at all, and anything missing may be in it.
pub(super) fn without_cascades(
    mut problems: Vec<Problem>,
    refused: &BTreeSet<ObjectKey>,
    unknown: bool,
) -> Vec<Problem> {
    let mut absent: HashSet<String> = refused.iter().map(ToString::to_string).collect();
    loop {
        let (suppressed, rest): (Vec<_>, Vec<_>) = problems
            .into_iter()
            .partition(|problem| follows(problem, &absent) || (unknown && may_follow(problem.reason)));
        problems = rest;
        // A resource that is refused by a suppressed problem is missing for others in turn.
        let out = suppressed.iter().filter(|problem| problem.effect != Effect::Degraded);
        let before = absent.len();
        absent.extend(out.map(|problem| problem.resource.to_string()));
        if absent.len() == before {
            return problems;
        }
    }
}

/// True if a problem says that one of the absent objects is missing or not accepted.
fn follows(problem: &Problem, absent: &HashSet<String>) -> bool {
    match problem.reason {
        Reason::RefNotFound | Reason::RefRefused | Reason::CredentialsPending => {
            named(problem).any(|name| absent.contains(&name)) || lacks_route(problem, absent)
        }
        // A test call can take another route when anything is missing.
        Reason::TestFailed => !absent.is_empty(),
        _ => false,
    }
}

/// True if a problem says that no route leads to a number, and an OutboundRoute is absent: the message names
/// no route.
fn lacks_route(problem: &Problem, absent: &HashSet<String>) -> bool {
    problem.message.starts_with("no OutboundRoute of ")
        && absent.iter().any(|name| name.starts_with("OutboundRoute "))
}

/// True if a problem may come of any missing object: the one referred to, a Namespace with its labels, or the
/// end of a test call.
fn may_follow(reason: Reason) -> bool {
    use Reason::{CredentialsPending, RefNotFound, RefNotPermitted, TestFailed};
    matches!(reason, RefNotFound | CredentialsPending | RefNotPermitted | TestFailed)
}

/// The keys that a problem's message may name, as text. Compile writes a missing object as kind and name, two
/// words; the namespace is before the name, or after it, or is the resource's own.
pub(super) fn named(problem: &Problem) -> impl Iterator<Item = String> {
    let (message, namespace) = (problem.message.as_str(), named_namespace(problem));
    message.split(' ').zip(message.split(' ').skip(1)).flat_map(move |(kind, name)| {
        let local = namespace.map(|namespace| format!("{kind} {namespace}/{name}"));
        local.into_iter().chain([format!("{kind} {name}")])
    })
}

/// The namespace of the objects that a message names: the one in the message, or the resource's own.
pub(super) fn named_namespace(problem: &Problem) -> Option<&str> {
    let named = problem.message.split_once(" in namespace ");
    let named = named.and_then(|(_, rest)| rest.split([' ', ';', ',', ':']).next());
    named.or(problem.resource.namespace.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_ends_where_its_name_does() {
        let tenant =
            ObjectKey { kind: "Tenant", namespace: Some("acme".to_owned()), name: "acme".to_owned() };
        let message = "there is no Trunk telco in namespace carriers; there is no other that it may use";
        let problem = Problem::refused(tenant, "spec.emergency.trunkRef", Reason::RefNotFound, message);
        assert!(named(&problem).any(|name| name == "Trunk carriers/telco"));
    }

    #[test]
    fn a_missing_route_or_a_failed_test_follows_from_a_refused_route() {
        let key =
            |kind, name: &str| ObjectKey { kind, namespace: Some("acme".to_owned()), name: name.to_owned() };
        let problem = |kind, reason, message: &str| {
            Problem::refused(key(kind, "welcome"), "spec.otherwise", reason, message)
        };
        let unreached = "no OutboundRoute of tenant acme leads to +442079460123";
        let problems = vec![
            problem("IvrMenu", Reason::RefNotFound, unreached),
            problem("RoutingTest", Reason::TestFailed, "the call ends elsewhere"),
            problem("Queue", Reason::RefNotFound, "tenant acme has no Extension alice"),
        ];
        let route = BTreeSet::from([key("OutboundRoute", "abroad")]);
        let left = without_cascades(problems.clone(), &route, false);
        assert_eq!(left, problems[2..]);
        assert_eq!(without_cascades(problems.clone(), &BTreeSet::new(), false), problems);
    }
}
