//! Extra settings, as a file holds them: each in place of what Centrex writes under that name, so that no name occurs
//! twice.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};
use serde::Serialize;

use crate::phones::Phone;
use crate::phones::models::Series;
use crate::phones::settings::check;

/// An extra setting for a template.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// The name, without an index.
    pub key: String,
    /// The index that Snom writes as an attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The value.
    pub value: String,
}

/// The settings of a phone that are allowed. Compile has refused the others already: this is the last lock, for a row
/// that an older version has written.
pub fn allowed(phone: &Phone) -> BTreeMap<String, String> {
    let mut alone = BTreeMap::new();
    for (key, value) in &phone.settings {
        alone.insert(key.clone(), value.clone());
        if !check(&phone.model, &alone).is_empty() {
            alone.remove(key);
        }
    }
    alone
}

/// The same for a template. Fanvil's are inserted by [`into_fanvil`].
pub fn for_template(series: Series, settings: &BTreeMap<String, String>) -> Vec<Setting> {
    if series == Series::Fanvil {
        return Vec::new();
    }
    let setting = |(key, value): (&String, &String)| {
        let indexed = key.strip_suffix(']').and_then(|key| key.split_once('['));
        let (key, index) = match indexed {
            Some((key, index)) => (key.to_owned(), Some(index.to_owned())),
            None => (key.clone(), None),
        };
        Setting { key, index, value: value.clone() }
    };
    settings.iter().map(setting).collect()
}

/// Removes lines that set what an extra setting sets below them. Every template has one setting a line.
pub fn without_overridden(series: Series, body: String, settings: &BTreeMap<String, String>) -> String {
    if settings.is_empty() || series == Series::Fanvil {
        return body;
    }
    let mut last = BTreeMap::new();
    for (index, line) in body.lines().enumerate() {
        if let Some(name) = name(series, line).filter(|name| settings.contains_key(name)) {
            last.insert(name, index);
        }
    }
    let kept: BTreeSet<usize> = last.values().copied().collect();
    let is_kept = |index: usize, line: &str| {
        kept.contains(&index) || name(series, line).is_none_or(|name| !last.contains_key(&name))
    };
    let lines = body.lines().enumerate().filter(|(index, line)| is_kept(*index, line));
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

/// The name that a line of a file sets, as extra settings spell it.
fn name(series: Series, line: &str) -> Option<String> {
    let line = line.trim_start();
    let name = match series {
        Series::Yealink | Series::YealinkDect => line.split_once('=')?.0.trim(),
        Series::Poly => line.split_once("=\"")?.0,
        Series::GrandstreamItems => line.strip_prefix("<item name=\"")?.split_once('"')?.0,
        Series::Snom => {
            let (head, _) = line.strip_prefix('<')?.split_once('>')?;
            let name = head.split(' ').next()?;
            return Some(match head.split_once("idx=\"").and_then(|(_, rest)| rest.split_once('"')) {
                Some((index, _)) => format!("{name}[{index}]"),
                None => name.to_owned(),
            });
        }
        _ => line.strip_prefix('<')?.split(['>', ' ', '/']).next()?,
    };
    Some(name.to_owned())
}

/// Why extra settings cannot be inserted.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The document is no XML.
    #[error(transparent)]
    Xml(#[from] quick_xml::Error),
    /// The document cannot be written.
    #[error(transparent)]
    Write(#[from] std::io::Error),
    /// A setting would remove what Centrex writes.
    #[error("the extra setting {0} is an element that has others in it; only one without others can be set")]
    Parent(String),
}

/// Inserts extra settings into Fanvil's document, where each is the path of an element below the root: a number after a
/// name is its `index`. An element that is there gets the value, others are made.
///
/// # Errors
/// The document is no XML, or a setting names an element of Centrex' that has others in it.
pub fn into_fanvil(body: &str, settings: &BTreeMap<String, String>) -> Result<String, InsertError> {
    if settings.is_empty() {
        return Ok(body.to_owned());
    }
    let mut rest: BTreeMap<Vec<String>, &str> =
        settings.iter().map(|(key, value)| (steps(key), value.as_str())).collect();
    let mut reader = Reader::from_str(body);
    let mut writer = Writer::new(Vec::with_capacity(body.len()));
    let mut path: Vec<String> = Vec::new();
    let mut depth = 0usize;
    // Depth of the element whose content is replaced.
    let mut replaced = None;
    loop {
        let event = reader.read_event()?;
        match &event {
            Event::Eof => break,
            Event::Start(element) => {
                depth += 1;
                if depth > 1 {
                    path.push(step(element));
                }
                if replaced.is_some() {
                    path.pop();
                    return Err(InsertError::Parent(path.join(".")));
                }
                writer.write_event(event.borrow())?;
                if let Some(value) = rest.remove(&path) {
                    writer.write_event(Event::Text(BytesText::new(value)))?;
                    replaced = Some(depth);
                }
            }
            Event::End(_) => {
                if replaced.is_none() {
                    insert(&mut writer, &path, &mut rest)?;
                }
                if replaced.is_none_or(|at| at == depth) {
                    replaced = None;
                    writer.write_event(event.borrow())?;
                }
                depth = depth.saturating_sub(1);
                path.pop();
            }
            _ if replaced.is_some() => {}
            _ => writer.write_event(event.borrow())?,
        }
    }
    Ok(String::from_utf8_lossy(&writer.into_inner()).into_owned())
}

/// Writes the settings that are below a path and that no element of the document has taken.
fn insert(
    writer: &mut Writer<Vec<u8>>,
    path: &[String],
    rest: &mut BTreeMap<Vec<String>, &str>,
) -> Result<(), quick_xml::Error> {
    // Each of them leaves the map with its whole element, so the names come once each.
    while let Some(key) = rest.keys().find(|key| key.len() > path.len() && key.starts_with(path)).cloned() {
        let child = key.get(..=path.len()).unwrap_or_default().to_vec();
        let Some(last) = child.last() else { return Ok(()) };
        let (name, index) = last.split_once('.').map_or((last.as_str(), None), |(n, i)| (n, Some(i)));
        let mut start = BytesStart::new(name);
        if let Some(index) = index {
            start.push_attribute(("index", index));
        }
        writer.write_event(Event::Start(start))?;
        match rest.remove(&child) {
            Some(value) => writer.write_event(Event::Text(BytesText::new(value)))?,
            None => insert(writer, &child, rest)?,
        }
        writer.write_event(Event::End(BytesEnd::new(name)))?;
        writer.write_event(Event::Text(BytesText::new("\n")))?;
    }
    Ok(())
}

/// An element as a step of a path: its name, and its index if it has one.
fn step(element: &BytesStart<'_>) -> String {
    let name = element.name().as_ref().to_owned();
    match element.try_get_attribute("index") {
        Ok(Some(index)) => format!("{name}.{}", index.value),
        _ => name,
    }
}

/// The steps of a key: a number belongs to the name before it.
fn steps(key: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for part in key.split('.') {
        match steps.last_mut() {
            Some(last) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                last.push('.');
                last.push_str(part);
            }
            _ => steps.push(part.to_owned()),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_removes_no_element_that_centrex_writes() {
        let body = "<sysConf>\n<phone>\n<date>\n<SNTPServer>a</SNTPServer>\n</date>\n</phone>\n</sysConf>";
        let error = into_fanvil(body, &settings(&[("phone.date", "x")])).unwrap_err();
        assert!(error.to_string().contains("phone.date is an element that has others"), "{error}");
        assert!(
            into_fanvil(body, &settings(&[("phone.date.SNTPServer", "b")]))
                .unwrap()
                .contains("<SNTPServer>b<")
        );
    }

    fn settings(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_setting_replaces_the_element_or_makes_it() {
        let body = "<sysConf>\n<phone>\n<display>\n<LCDTitle>a</LCDTitle>\n</display>\n</phone>\n<call>\n<port index=\"1\">\n<X>1</X>\n</port>\n</call>\n</sysConf>\n";
        let all = [
            ("phone.display.LCDTitle", "M & <b>"),
            ("phone.display.Contrast", "5"),
            ("call.port.1.Y", "2"),
            ("call.port.2.Y", "3"),
            ("call.port.2.Z", "4"),
            ("new.deep.Value", "6"),
        ];
        let text = into_fanvil(body, &settings(&all)).unwrap();
        let flat: String = text.lines().map(str::trim).collect();
        assert_eq!(
            flat,
            "<sysConf><phone><display><LCDTitle>M &amp; &lt;b&gt;</LCDTitle><Contrast>5</Contrast></display></phone>\
             <call><port index=\"1\"><X>1</X><Y>2</Y></port><port index=\"2\"><Y>3</Y><Z>4</Z></port></call>\
             <new><deep><Value>6</Value></deep></new></sysConf>"
        );
    }

    #[test]
    fn a_line_gives_way_to_the_setting_of_its_name() {
        for (series, body, key, expected) in [
            (Series::Yealink, "a.b = 1\na.c = 2\na.b = 3\n", "a.b", "a.c = 2\na.b = 3\n"),
            (Series::Poly, "  a.b=\"1\"\n  a.c=\"2\"\n  a.b=\"3\"\n", "a.b", "  a.c=\"2\"\n  a.b=\"3\"\n"),
            (
                Series::Snom,
                "<a idx=\"1\" perm=\"R\">1</a>\n<a>2</a>\n<a idx=\"1\">3</a>\n",
                "a[1]",
                "<a>2</a>\n<a idx=\"1\">3</a>\n",
            ),
            (Series::CiscoMpp, "<A>1</A>\n<AB>2</AB>\n<A>3</A>\n", "A", "<AB>2</AB>\n<A>3</A>\n"),
            (
                Series::GrandstreamItems,
                "<item name=\"a.b\">1</item>\n<item name=\"a.b\">2</item>\n",
                "a.b",
                "<item name=\"a.b\">2</item>\n",
            ),
        ] {
            assert_eq!(
                without_overridden(series, body.to_owned(), &settings(&[(key, "3")])),
                expected,
                "{key}"
            );
        }
    }
}
