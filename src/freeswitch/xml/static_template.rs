//! A template that only places texts, cut once at the places: every call and every registration waits
//! for its answer, and what Tera does for it is the same each time.

use bytes::Bytes;
use regex::Regex;

use super::escape::escape;
use super::render::Texts;
use crate::route::Action;

/// What stands in a template beside text, as far as it is plain: comments, values and statements.
const TAGS: &str = r"(?s)\{#.*?#\}|\{\{ *([a-z0-9_.]+) *\}\}|\{% *([a-z ]+?) *%\}";

/// A template, cut.
#[derive(Debug)]
pub(super) struct StaticTemplate {
    before: Vec<Piece>,
    /// Of each action.
    each: Vec<Piece>,
    after: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Source(String),
    /// One of the texts that are placed, by its name.
    Text(&'static str),
    Application,
    Data,
}

impl StaticTemplate {
    /// Cuts a template for texts of these names. None when it does more than to place them, action after
    /// action: that is for Tera to do.
    pub fn new(source: &str, names: &[&'static str]) -> Option<Self> {
        let [mut before, mut each, mut after] = [const { Vec::new() }; 3];
        let (mut pieces, mut inside, mut at) = (&mut before, false, 0);
        for tag in Regex::new(TAGS).ok()?.captures_iter(source) {
            let whole = tag.get(0)?;
            pieces.push(plain(source.get(at..whole.start())?)?);
            at = whole.end();
            match (tag.get(1), tag.get(2)) {
                (Some(value), _) => pieces.push(match value.as_str() {
                    "action.application" if inside => Piece::Application,
                    "action.data" if inside => Piece::Data,
                    value => Piece::Text(names.iter().find(|name| **name == value)?),
                }),
                (_, Some(statement)) => {
                    pieces = match statement.as_str() {
                        "for action in actions" if !inside && each.is_empty() => &mut each,
                        "endfor" if inside => &mut after,
                        _ => return None,
                    };
                    inside = !inside;
                }
                // A comment; with a dash at its edge, it takes spaces around it along.
                _ if whole.as_str().starts_with("{#-") || whole.as_str().ends_with("-#}") => return None,
                _ => {}
            }
        }
        pieces.push(plain(source.get(at..)?)?);
        (!inside).then_some(Self { before, each, after })
    }

    /// The document. None when a text is not there that is to be placed.
    pub fn render(&self, texts: &Texts<'_>, actions: &[Action]) -> Option<Bytes> {
        let mut out = Vec::with_capacity(1024);
        let mut place = |pieces: &[Piece], action: Option<&Action>| {
            for piece in pieces {
                match piece {
                    Piece::Source(source) => out.extend_from_slice(source.as_bytes()),
                    Piece::Text(name) => {
                        let (_, text) = texts.iter().find(|(known, _)| known == name)?;
                        escape(text, &mut out).ok()?;
                    }
                    // Of our own names, nothing has to be escaped.
                    Piece::Application => out.extend_from_slice(action?.application.as_bytes()),
                    Piece::Data => escape(&action?.data, &mut out).ok()?,
                }
            }
            Some(())
        };
        place(&self.before, None)?;
        actions.iter().try_for_each(|action| place(&self.each, Some(action)))?;
        place(&self.after, None)?;
        Some(Bytes::from(out))
    }
}

/// What stands between tags; none when there is something in it that was not understood.
fn plain(source: &str) -> Option<Piece> {
    let tag = ["{{", "{%", "{#"].iter().any(|open| source.contains(open));
    (!tag).then(|| Piece::Source(source.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::freeswitch::xml::render::context;
    use crate::freeswitch::xml::templates::{DIALPLAN, PLACED, Templates};

    proptest! {
        #[test]
        fn what_is_cut_renders_as_tera_does(
            values in prop::collection::vec(any::<String>(), 6),
            data in prop::collection::vec(any::<String>(), 0..5),
        ) {
            let templates = Templates::built_in().unwrap();
            let actions: Vec<Action> =
                data.into_iter().map(|data| Action { application: "multiset", data }).collect();
            for (name, names) in PLACED {
                let texts: Vec<_> = names.iter().copied().zip(values.iter().map(String::as_str)).collect();
                let actions = (name == DIALPLAN).then_some(actions.as_slice());
                let by_tera = templates.render(name, &context(&texts, actions).unwrap()).unwrap();
                let cut = templates.cut(name).expect("the built-in templates only place texts");
                prop_assert_eq!(cut.render(&texts, actions.unwrap_or_default()), Some(by_tera));
            }
        }
    }

    #[test]
    fn what_does_more_than_to_place_values_is_not_cut() {
        const LOOP: &str = "{% for action in actions %}{{ action.data }}{% endfor %}";
        let cut = |source: &str| StaticTemplate::new(source, &["context"]);
        assert!(cut(LOOP).is_some());
        assert!(cut(&format!("{{# a note: {{{{ x }}}} #}}<a b='{{{{context}}}}'>{LOOP}</a>")).is_some());
        for other in [
            "{{ action.data }}",
            "{{ context | upper }}",
            "{{- context }}",
            "{{ other }}",
            "{{ true }}",
            "{% if context %}{% endif %}",
            "{%- for action in actions %}{% endfor %}",
            "{% for action in actions %}",
            "{% endfor %}",
            "{% for a in actions %}{% endfor %}",
            "{% for action in actions %}{% for action in actions %}{% endfor %}{% endfor %}",
            "{% raw %}{{ context }}{% endraw %}",
            "{% include 'x' %}",
            "{#- trims #}",
            "{# trims -#} x {# does not #}",
            "{# open",
            "{{ context",
            &format!("{LOOP}{LOOP}"),
        ] {
            assert!(cut(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_text_that_is_not_there_makes_no_document() {
        let cut = StaticTemplate::new("<a b='{{ a1_hash }}'/>", &["a1_hash"]).unwrap();
        assert_eq!(cut.render(&[("domain", "x")], &[]), None);
        assert!(cut.render(&[("a1_hash", "x")], &[]).is_some());
    }
}
