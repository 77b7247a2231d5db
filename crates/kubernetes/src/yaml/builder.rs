//! From parser events to trees, within limits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};

use super::{Entry, Fault, Meaning, Scalar, Tree, Value};
use crate::problem::quoted;
use crate::{FieldPath, Position};

/// How much of a stream is accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Values and keys in the whole stream, with aliases expanded.
    pub(crate) values: usize,
    /// Lists and maps inside each other.
    pub(crate) depth: usize,
}

/// Parses a stream into its documents, empty ones left out. Documents before a fault are returned with it.
pub(crate) fn parse(text: &str, limits: StreamLimits) -> (Vec<Arc<Tree>>, Option<Fault>) {
    let options = granit_parser::options! {
        flow_nesting_limit: limits.depth,
        block_nesting_limit: limits.depth,
        emit_comments: false,
    };
    let mut builder = Builder::new(limits);
    for event in Parser::new_from_str_with_options(text, options) {
        let outcome = match event {
            Ok((event, span)) => builder.accept(event, position(&span.start)),
            Err(error) => Err(syntax_fault(&error, limits)),
        };
        if let Err(fault) = outcome {
            return (builder.documents, Some(fault));
        }
    }
    (builder.documents, None)
}

fn position(marker: &granit_parser::Marker) -> Position {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: narrow(marker.line()), column: narrow(marker.col().saturating_add(1)) }
}

fn syntax_fault(error: &ScanError, limits: StreamLimits) -> Fault {
    let position = position(error.marker());
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(position, limits);
    }
    let reason = crate::problem::shortened_to(&error.info(), 160);
    fault(position, &format!("not valid YAML: {reason}"), "correct the syntax")
}

fn too_deep(position: Position, limits: StreamLimits) -> Fault {
    fault(position, &format!("lists and maps nested more than {} deep", limits.depth), "flatten it")
}

fn fault(position: Position, reason: &str, remedy: &str) -> Fault {
    Fault {
        position: Some(position),
        path: FieldPath::root(),
        reason: reason.to_owned(),
        remedy: remedy.to_owned(),
    }
}

struct Builder {
    limits: StreamLimits,
    values: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Tree>>,
    documents: Vec<Arc<Tree>>,
}

/// A list or map that has not ended yet.
struct Open {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Arc<Tree>>),
    Map { entries: Vec<Entry>, merged: Vec<Arc<Tree>>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    text: String,
    position: Position,
    merge: bool,
}

impl Builder {
    fn new(limits: StreamLimits) -> Self {
        Self { limits, values: 0, open: Vec::new(), anchors: HashMap::new(), documents: Vec::new() }
    }

    fn accept(&mut self, event: Event<'_>, position: Position) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) | Event::DocumentEnd => {
                self.anchors.clear();
                self.open.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, position)?;
                let scalar = scalar(&text, style, tag.as_deref(), position)?;
                self.complete(anchor, position, Value::Scalar(scalar), 1, 0)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_collection_tag(tag.as_deref(), "seq", position)?;
                self.start(position, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                check_collection_tag(tag.as_deref(), "map", position)?;
                self.start(
                    position,
                    anchor,
                    Content::Map { entries: Vec::new(), merged: Vec::new(), key: None },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, position),
            _ => Ok(()),
        }
    }

    fn count(&mut self, values: usize, position: Position) -> Result<(), Fault> {
        self.values = self.values.saturating_add(values);
        if self.values <= self.limits.values {
            return Ok(());
        }
        let reason = format!("more than {} values, with aliases expanded", self.limits.values);
        Err(fault(position, &reason, "split the file, or use fewer aliases"))
    }

    fn check_depth(&self, below: usize, position: Position) -> Result<(), Fault> {
        if self.open.len() + below <= self.limits.depth {
            return Ok(());
        }
        Err(too_deep(position, self.limits))
    }

    fn start(&mut self, position: Position, anchor: usize, content: Content) -> Result<(), Fault> {
        self.count(1, position)?;
        self.check_depth(1, position)?;
        self.open.push(Open { position, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, merged, .. } => {
                check_unique(&entries)?;
                Value::Map(self.merge(entries, &merged, open.position)?)
            }
        };
        let (size, height) = measure(&value);
        self.complete(open.anchor, open.position, value, size, height)
    }

    fn complete(
        &mut self,
        anchor: usize,
        position: Position,
        value: Value,
        size: usize,
        height: usize,
    ) -> Result<(), Fault> {
        let tree = Arc::new(Tree { position, value, size, height });
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&tree));
        }
        self.place(tree, position)
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Result<(), Fault> {
        let Some(tree) = self.anchors.get(&anchor).map(Arc::clone) else {
            return Err(fault(
                position,
                "an alias inside the value that it stands for",
                "write the value out",
            ));
        };
        self.count(tree.size, position)?;
        self.check_depth(tree.height, position)?;
        self.place(tree, position)
    }

    fn place(&mut self, tree: Arc<Tree>, position: Position) -> Result<(), Fault> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None if tree.is_null() => {}
            None => self.documents.push(tree),
            Some(Content::List(items)) => items.push(tree),
            Some(Content::Map { entries, merged, key }) => match key.take() {
                None => *key = Some(as_key(&tree, position)?),
                Some(key) if key.merge => merged.push(tree),
                Some(key) => entries.push(Entry { key: key.text, position: key.position, value: tree }),
            },
        }
        Ok(())
    }

    /// Adds what `<<` brings in, without replacing keys that are written out; earlier sources win.
    fn merge(
        &mut self,
        mut entries: Vec<Entry>,
        merged: &[Arc<Tree>],
        position: Position,
    ) -> Result<Vec<Entry>, Fault> {
        if merged.is_empty() {
            return Ok(entries);
        }
        let mut seen: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let sources = merged.iter().flat_map(|tree| match &tree.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(tree),
        });
        for source in sources {
            let Value::Map(more) = &source.value else {
                return Err(fault(source.position, "<< is not followed by a map", "merge maps only"));
            };
            for entry in more {
                if seen.insert(entry.key.clone()) {
                    self.count(entry.value.size.saturating_add(1), position)?;
                    entries.push(entry.clone());
                }
            }
        }
        Ok(entries)
    }
}

/// Number of values in a value, keys counted too, and levels below it.
fn measure(value: &Value) -> (usize, usize) {
    let (mut size, mut height) = (1_usize, 1_usize);
    let mut add = |child: &Tree, keys: usize| {
        size = size.saturating_add(child.size).saturating_add(keys);
        height = height.max(child.height + 1);
    };
    match value {
        Value::Scalar(_) => return (1, 0),
        Value::List(items) => items.iter().for_each(|item| add(item, 0)),
        Value::Map(entries) => entries.iter().for_each(|entry| add(&entry.value, 1)),
    }
    (size, height)
}

fn check_unique(entries: &[Entry]) -> Result<(), Fault> {
    let mut seen = HashMap::with_capacity(entries.len());
    for entry in entries {
        if let Some(first) = seen.insert(entry.key.as_str(), entry.position) {
            let reason =
                format!("the key {} is here twice, first on line {}", quoted(&entry.key), first.line);
            return Err(fault(entry.position, &reason, "keep one"));
        }
    }
    Ok(())
}

fn as_key(tree: &Tree, position: Position) -> Result<Key, Fault> {
    match &tree.value {
        Value::Scalar(scalar) => {
            let merge = scalar.meaning == Meaning::Merge;
            Ok(Key { text: scalar.text.clone(), position, merge })
        }
        _ => Err(fault(position, "a map's key is a list or map", "use a text as the key")),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, position: Position) -> Result<Scalar, Fault> {
    let meaning = match tag {
        None if style == ScalarStyle::Plain => Meaning::of_plain(text),
        None => Meaning::Text,
        Some(tag) => tagged_meaning(text, tag, position)?,
    };
    Ok(Scalar { text: text.to_owned(), meaning })
}

fn tagged_meaning(text: &str, tag: &Tag, position: Position) -> Result<Meaning, Fault> {
    let plain = Meaning::of_plain(text);
    let fits = match tag.core_suffix() {
        Some("str") => return Ok(Meaning::Text),
        Some("int") => matches!(plain, Meaning::Int(_)),
        Some("float") => matches!(plain, Meaning::Int(_) | Meaning::Float),
        Some("bool") => matches!(plain, Meaning::Bool(_)),
        Some("null") => plain == Meaning::Null,
        _ => return Err(unknown_tag(tag, position)),
    };
    if fits {
        return Ok(plain);
    }
    let reason = format!("{} does not fit its tag {}", quoted(text), quoted(&tag.original()));
    Err(fault(position, &reason, "remove the tag"))
}

fn check_collection_tag(tag: Option<&Tag>, wanted: &str, position: Position) -> Result<(), Fault> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(wanted) => Err(unknown_tag(tag, position)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, position: Position) -> Fault {
    fault(position, &format!("the tag {} is not supported here", quoted(&tag.original())), "remove it")
}
