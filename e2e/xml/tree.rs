//! An XML document as a tree, parsed strictly.

use quick_xml::events::{BytesStart, Event};

/// An element.
#[derive(Debug, Default, PartialEq)]
pub struct Node {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Node>,
}

impl Node {
    /// Parses one of our documents: one element that contains only elements and attributes.
    pub fn parse(text: &str) -> Self {
        Self::read_all(quick_xml::Reader::from_str(text), text)
    }

    /// Parses a file that people wrote: with lines, comments and a prolog.
    pub fn parse_file(text: &str) -> Self {
        let bare: String = text
            .split("<!--")
            .enumerate()
            .map(|(index, part)| match index {
                0 => part,
                _ => part.split_once("-->").unwrap_or_else(|| panic!("an unterminated comment: {part}")).1,
            })
            .collect();
        let bare = bare.trim_start().trim_start_matches("<?xml version=\"1.0\"?>");
        let mut reader = quick_xml::Reader::from_str(bare);
        reader.config_mut().trim_text(true);
        Self::read_all(reader, bare)
    }

    fn read_all(mut reader: quick_xml::Reader<&[u8]>, text: &str) -> Self {
        let mut open = vec![Node::default()];
        loop {
            match reader.read_event().unwrap_or_else(|error| panic!("{error}: {text}")) {
                Event::Start(start) => open.push(Node::read(&start)),
                Event::Empty(start) => open.last_mut().unwrap().children.push(Node::read(&start)),
                Event::End(_) => {
                    let node = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(node);
                }
                Event::Eof => break,
                other => panic!("{other:?} in {text}"),
            }
        }
        assert_eq!(open.len(), 1, "an element is not closed: {text}");
        let mut roots = open.pop().unwrap().children;
        assert_eq!(roots.len(), 1, "not one root: {text}");
        roots.pop().unwrap()
    }

    fn read(start: &BytesStart<'_>) -> Self {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let value = quick_xml::escape::unescape(&attribute.value).unwrap().into_owned();
            (attribute.key.as_ref().to_owned(), value)
        });
        Self {
            name: start.name().as_ref().to_owned(),
            attributes: attributes.collect(),
            children: Vec::new(),
        }
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All elements of a name, at any depth, including this one.
    pub fn all<'a>(&'a self, name: &'a str) -> Vec<&'a Node> {
        let mut found: Vec<&Node> = if self.name == name { vec![self] } else { Vec::new() };
        found.extend(self.children.iter().flat_map(|child| child.all(name)));
        found
    }

    /// The only element of a name.
    pub fn one<'a>(&'a self, name: &'a str) -> &'a Node {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {self:?}");
        all[0]
    }

    /// The element of a name whose attribute `name` is this.
    pub fn named<'a>(&'a self, element: &'a str, name: &str) -> &'a Node {
        let named = self.all(element).into_iter().find(|node| node.attribute("name") == Some(name));
        named.unwrap_or_else(|| panic!("no {element} {name} in {self:?}"))
    }

    /// The value of the `param` or `variable` of a name below this element.
    pub fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let of = |kind| self.all(kind).into_iter().find(|node| node.attribute("name") == Some(name));
        of("param").or_else(|| of("variable"))?.attribute("value")
    }

    /// The section of the answer.
    pub fn section(&self) -> &str {
        assert_eq!((self.name.as_str(), self.attribute("type")), ("document", Some("freeswitch/xml")));
        assert_eq!(self.children.len(), 1);
        assert_eq!(self.children[0].name, "section");
        self.children[0].attribute("name").unwrap()
    }

    /// Whether the answer is "not found".
    pub fn is_not_found(&self) -> bool {
        self.section() == "result" && self.one("result").attribute("status") == Some("not found")
    }

    /// The values of all attributes below this element.
    pub fn values(&self) -> Vec<&str> {
        let own = self.attributes.iter().map(|(_, value)| value.as_str());
        own.chain(self.children.iter().flat_map(Node::values)).collect()
    }
}
