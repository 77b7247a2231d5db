//! A JSON object that is written while it is sent, so that it need not fit into memory.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use serde_json::Value;

/// How much is written at a time, at least.
const PART: usize = 32 * 1024;

type Items = Box<dyn Iterator<Item = Value> + Send>;

/// A JSON object as an iterator over its text, indented as [`super::Answer::json`] indents: of a long member one item
/// is in memory at a time.
#[derive(Default)]
pub struct Document {
    members: VecDeque<(String, Member)>,
    /// The list that is being written, and whether an item of it is written.
    open: Option<(Items, bool)>,
    progress: Progress,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Progress {
    #[default]
    Nothing,
    Begun,
    Ended,
}

enum Member {
    Whole(Value),
    List(Items),
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|(name, _)| name)).finish()
    }
}

impl Document {
    /// An object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a member that is small.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.members.push_back((name.to_owned(), Member::Whole(value)));
        self
    }

    /// With a list whose items are made when they are sent.
    #[must_use]
    pub fn list(mut self, name: &str, items: impl Iterator<Item = Value> + Send + 'static) -> Self {
        self.members.push_back((name.to_owned(), Member::List(Box::new(items))));
        self
    }

    fn step(&mut self, text: &mut String) {
        match self.open.take() {
            Some((mut items, any)) => match items.next() {
                Some(item) => {
                    text.push_str(if any { ",\n    " } else { "\n    " });
                    push_indented(text, &item, "    ");
                    self.open = Some((items, true));
                }
                None => {
                    text.push_str(if any { "\n  ]" } else { "]" });
                }
            },
            None => self.next_member(text),
        }
    }

    fn next_member(&mut self, text: &mut String) {
        let begun = self.progress == Progress::Begun;
        let Some((name, member)) = self.members.pop_front() else {
            text.push_str(if begun { "\n}\n" } else { "{}\n" });
            self.progress = Progress::Ended;
            return;
        };
        self.progress = Progress::Begun;
        text.push_str(if begun { ",\n  " } else { "{\n  " });
        push_name(text, &name);
        match member {
            Member::Whole(value) => push_indented(text, &value, "  "),
            Member::List(items) => {
                text.push('[');
                self.open = Some((items, false));
            }
        }
    }
}

fn push_name(text: &mut String, name: &str) {
    text.push_str(&Value::from(name).to_string());
    text.push_str(": ");
}

/// A line feed within a text of JSON is escaped, so each one that is written begins a line.
fn push_indented(text: &mut String, value: &Value, indent: &str) {
    let mut lines = format!("{value:#}");
    if lines.contains('\n') {
        lines = lines.replace('\n', &format!("\n{indent}"));
    }
    text.push_str(&lines);
}

impl Iterator for Document {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut text = String::new();
        while text.len() < PART && self.progress != Progress::Ended {
            self.step(&mut text);
        }
        (!text.is_empty()).then(|| text.into())
    }
}

impl From<Value> for Document {
    /// The members of an object; any other value has none.
    fn from(value: Value) -> Self {
        let members = match value {
            Value::Object(members) => members,
            _ => serde_json::Map::new(),
        };
        members.into_iter().fold(Self::new(), |document, (name, value)| document.member(&name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(document: Document) -> (String, usize) {
        let parts: Vec<Bytes> = document.collect();
        let text = parts.iter().map(|part| std::str::from_utf8(part).unwrap()).collect();
        (text, parts.len())
    }

    #[test]
    fn it_is_written_as_a_whole_value_is() {
        let items = vec![json!({"a": [1, {"b": "x\ny"}], "c": {}}), json!([]), json!("text")];
        let document = Document::new()
            .member("first", json!({"one": 1, "two": []}))
            .list("list", items.clone().into_iter())
            .list("none", std::iter::empty())
            .member("l\"ast", json!(null));
        let value = json!({"first": {"one": 1, "two": []}, "list": items, "none": [], "l\"ast": null});
        assert_eq!(text(document).0, format!("{value:#}\n"));
        assert_eq!(text(Document::from(value.clone())).0, format!("{value:#}\n"));
        assert_eq!(text(Document::new()).0, "{}\n");
    }

    #[test]
    fn a_long_one_comes_in_parts_of_about_the_same_size() {
        let item = json!("x".repeat(1000));
        let document = Document::new().list("list", std::iter::repeat_n(item.clone(), 1000));
        let (text, parts) = text(document);
        assert!((25..35).contains(&parts), "{parts}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"list": vec![item; 1000]}));
    }
}
