//! A dialplan template that only places values, cut once at the places: every call waits for its
//! answer, and what Tera does for it is the same each time.

use bytes::Bytes;
use regex::Regex;

use super::escape::escape;
use crate::route::Action;

/// What stands in a template beside text, as far as it is plain: comments, values and statements.
const TAGS: &str = r"(?s)\{#.*?#\}|\{\{ *([a-z.]+) *\}\}|\{% *([a-z ]+?) *%\}";

/// A template, cut.
#[derive(Debug)]
pub(super) struct Cut {
    before: Vec<Piece>,
    /// Of each action.
    each: Vec<Piece>,
    after: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Context,
    Extension,
    Application,
    Data,
}

impl Cut {
    /// Cuts a template. None when it does more than to place each value there is for it, action after
    /// action: that is for Tera to do.
    pub fn new(source: &str) -> Option<Self> {
        let [mut before, mut each, mut after] = [const { Vec::new() }; 3];
        let (mut pieces, mut inside, mut at) = (&mut before, false, 0);
        for tag in Regex::new(TAGS).ok()?.captures_iter(source) {
            let whole = tag.get(0)?;
            pieces.push(text(source.get(at..whole.start())?)?);
            at = whole.end();
            match (tag.get(1), tag.get(2)) {
                (Some(value), _) => pieces.push(match value.as_str() {
                    "context" => Piece::Context,
                    "extension" => Piece::Extension,
                    "action.application" if inside => Piece::Application,
                    "action.data" if inside => Piece::Data,
                    _ => return None,
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
        pieces.push(text(source.get(at..)?)?);
        (!inside).then_some(Self { before, each, after })
    }

    /// The document of one call.
    pub fn render(&self, context: &str, extension: &str, actions: &[Action]) -> Bytes {
        let mut out = Vec::with_capacity(1024);
        let mut place = |pieces: &[Piece], action: Option<&Action>| {
            for piece in pieces {
                let value = match piece {
                    Piece::Text(text) => {
                        out.extend_from_slice(text.as_bytes());
                        continue;
                    }
                    Piece::Context => Some(context),
                    Piece::Extension => Some(extension),
                    Piece::Application => action.map(|action| action.application),
                    Piece::Data => action.map(|action| action.data.as_str()),
                };
                let _ = escape(value.unwrap_or_default(), &mut out); // a Vec takes everything
            }
        };
        place(&self.before, None);
        actions.iter().for_each(|action| place(&self.each, Some(action)));
        place(&self.after, None);
        Bytes::from(out)
    }
}

/// Text between tags; none when there is something in it that was not understood.
fn text(text: &str) -> Option<Piece> {
    let tag = ["{{", "{%", "{#"].iter().any(|open| text.contains(open));
    (!tag).then(|| Piece::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::render::dialplan_context;
    use super::super::templates::{DIALPLAN, Templates};
    use super::*;

    proptest! {
        #[test]
        fn what_is_cut_renders_as_tera_does(
            context in any::<String>(),
            extension in any::<String>(),
            data in prop::collection::vec(any::<String>(), 0..5),
        ) {
            let templates = Templates::built_in().unwrap();
            let actions: Vec<Action> =
                data.into_iter().map(|data| Action { application: "multiset", data }).collect();
            let by_tera = templates.render(DIALPLAN, &dialplan_context(&context, &extension, &actions).unwrap());
            let cut = templates.dialplan().expect("the built-in template only places values");
            prop_assert_eq!(cut.render(&context, &extension, &actions), by_tera.unwrap());
        }
    }

    #[test]
    fn what_does_more_than_to_place_values_is_not_cut() {
        const LOOP: &str = "{% for action in actions %}{{ action.data }}{% endfor %}";
        assert!(Cut::new(LOOP).is_some());
        assert!(Cut::new(&format!("{{# a note: {{{{ x }}}} #}}<a b='{{{{context}}}}'>{LOOP}</a>")).is_some());
        for other in [
            "{{ action.data }}",
            "{{ context | upper }}",
            "{{- context }}",
            "{{ other }}",
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
            assert!(Cut::new(other).is_none(), "{other}");
        }
    }
}
