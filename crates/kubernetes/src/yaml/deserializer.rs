//! From a tree to a type, through serde; a complaint names the field and its place.

use std::sync::Arc;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::unknown_field;
use super::{Entry, Fault, Meaning, Scalar, Tree, Value, misspelt};
use crate::problem::{quoted, shortened};
use crate::{FieldPath, Segment, fields};

/// What happens to fields that a type does not have, and to nulls and empty lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// As the API server treats core kinds: unknown fields are ignored, null is absent. Only what is most likely a known
    /// field misspelt is refused.
    Lenient,
    /// Each is refused: in a policy, a constraint that vanishes widens access.
    Strict,
}

/// Reads a tree, which stands at `name` in its object (nothing: the object itself), as a type.
pub(crate) fn read<T: DeserializeOwned>(
    tree: &Tree,
    name: Option<&str>,
    strictness: Strictness,
) -> Result<T, Fault> {
    let trail = Trail { outer: None, step: name.map_or(Step::Object, Step::Key) };
    T::deserialize(Cursor { tree, trail: &trail, strictness })
        .map_err(|fault| fault.or_at(tree.position, || trail.path()))
}

/// The way to a value, kept on the stack until a complaint needs it.
struct Trail<'t> {
    outer: Option<&'t Trail<'t>>,
    step: Step<'t>,
}

enum Step<'t> {
    Object,
    Key(&'t str),
    Index(usize),
}

impl Trail<'_> {
    fn path(&self) -> FieldPath {
        let mut segments = Vec::new();
        let mut next = Some(self);
        while let Some(trail) = next {
            match trail.step {
                Step::Object => {}
                Step::Key(key) => segments.push(Segment::Key(key.to_owned())),
                Step::Index(index) => segments.push(Segment::Index(index)),
            }
            next = trail.outer;
        }
        segments.reverse();
        FieldPath::from_segments(segments)
    }
}

/// A value about to be read.
struct Cursor<'de, 't> {
    tree: &'de Tree,
    trail: &'t Trail<'t>,
    strictness: Strictness,
}

impl<'de> Cursor<'de, '_> {
    fn fault(&self, message: &str) -> Fault {
        self.place(Fault::new(message))
    }

    fn place(&self, fault: Fault) -> Fault {
        fault.or_at(self.tree.position, || self.trail.path())
    }

    fn scalar(&self, wanted: &str) -> Result<&'de Scalar, Fault> {
        match &self.tree.value {
            Value::Scalar(scalar) => Ok(scalar),
            _ => Err(self.mismatch(wanted)),
        }
    }

    fn mismatch(&self, wanted: &str) -> Fault {
        let found = match &self.tree.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Scalar(Scalar { meaning: Meaning::Null, .. }) => "null".to_owned(),
            Value::Scalar(scalar) if scalar.meaning == Meaning::Text => quoted(&scalar.text),
            Value::Scalar(scalar) => format!("{} {}", scalar.meaning.noun(), shortened(&scalar.text)),
        };
        let quotable = wanted == "a text"
            && matches!(&self.tree.value, Value::Scalar(scalar) if scalar.meaning != Meaning::Null);
        if quotable {
            self.fault(&format!("{found} is not a text; put it in quotes"))
        } else {
            self.fault(&format!("{found} is not {wanted}; write {wanted}"))
        }
    }

    fn integer<V: Visitor<'de>>(self, visitor: V, lowest: i128, highest: i128) -> Result<V::Value, Fault> {
        let Meaning::Int(number) = self.scalar("a whole number")?.meaning else {
            return Err(self.mismatch("a whole number"));
        };
        if !(lowest..=highest).contains(&number) {
            return Err(self.fault(&format!("{number} is out of range; use {lowest} to {highest}")));
        }
        let outcome: Result<V::Value, Fault> = match (i64::try_from(number), u64::try_from(number)) {
            (Ok(number), _) => visitor.visit_i64(number),
            (_, Ok(number)) => visitor.visit_u64(number),
            _ => Err(Fault::new("this number is out of range; use a smaller one")),
        };
        outcome.map_err(|fault| self.place(fault))
    }

    fn text(&self) -> Result<&'de str, Fault> {
        let scalar = self.scalar("a text")?;
        match scalar.meaning {
            Meaning::Text | Meaning::Merge => Ok(&scalar.text),
            Meaning::Null if self.strictness == Strictness::Lenient => Ok(""),
            _ => Err(self.mismatch("a text")),
        }
    }

    fn is_policy_rules(&self) -> bool {
        matches!(self.trail.step, Step::Key("rules"))
            && self.trail.outer.is_some_and(|outer| matches!(outer.step, Step::Key("spec")))
    }
}

macro_rules! integers {
    ($($method:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.integer(visitor, <$type>::MIN.into(), <$type>::MAX.into())
        }
    )*};
}

impl<'de> Deserializer<'de> for Cursor<'de, '_> {
    type Error = Fault;

    integers!(
        deserialize_i8 i8, deserialize_i16 i16, deserialize_i32 i32, deserialize_i64 i64,
        deserialize_u8 u8, deserialize_u16 u16, deserialize_u32 u32, deserialize_u64 u64
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.tree.value {
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => visitor.visit_unit().map_err(|fault| self.place(fault)),
                Meaning::Bool(value) => visitor.visit_bool(value).map_err(|fault| self.place(fault)),
                Meaning::Int(_) => self.integer(visitor, i64::MIN.into(), u64::MAX.into()),
                Meaning::Float => match scalar.text.parse() {
                    Ok(number) => visitor.visit_f64(number).map_err(|fault| self.place(fault)),
                    Err(_) => Err(self.mismatch("a whole number")),
                },
                Meaning::Text | Meaning::Merge => self.deserialize_str(visitor),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.scalar("true or false")?.meaning {
            Meaning::Bool(value) => visitor.visit_bool(value).map_err(|fault| self.place(fault)),
            _ => Err(self.mismatch("true or false")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.text()?;
        visitor.visit_borrowed_str(text).map_err(|fault: Fault| self.place(fault))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.tree.is_null() && self.strictness == Strictness::Lenient {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::List(items) = &self.tree.value else { return Err(self.mismatch("a list")) };
        if items.is_empty() && self.strictness == Strictness::Strict && !self.is_policy_rules() {
            return Err(self.fault("this list is empty; give it an item, or remove the field"));
        }
        let list = Items { items, next: 0, trail: self.trail, strictness: self.strictness };
        visitor.visit_seq(list).map_err(|fault| self.place(fault))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Map(entries) = &self.tree.value else { return Err(self.mismatch("a map")) };
        let map =
            Entries { entries, current: None, of: None, trail: self.trail, strictness: self.strictness };
        visitor.visit_map(map).map_err(|fault| self.place(fault))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Value::Map(entries) = &self.tree.value else { return Err(self.mismatch("a map")) };
        let map = Entries {
            entries,
            current: None,
            of: Some((name, fields)),
            trail: self.trail,
            strictness: self.strictness,
        };
        visitor.visit_map(map).map_err(|fault| self.place(fault))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let text = self.text()?;
        visitor.visit_enum(Name(text)).map_err(|fault| self.place(fault))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// The items of a list, in order.
struct Items<'de, 't> {
    items: &'de [Arc<Tree>],
    next: usize,
    trail: &'t Trail<'t>,
    strictness: Strictness,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(tree) = self.items.get(self.next) else { return Ok(None) };
        let trail = Trail { outer: Some(self.trail), step: Step::Index(self.next) };
        self.next += 1;
        let item = seed.deserialize(Cursor { tree, trail: &trail, strictness: self.strictness });
        item.map(Some).map_err(|fault| fault.or_at(tree.position, || trail.path()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

/// The entries of a map, in order; those of a type with known fields only as far as it has them.
struct Entries<'de, 't> {
    entries: &'de [Entry],
    current: Option<&'de Entry>,
    /// The type's name and its fields.
    of: Option<(&'static str, &'static [&'static str])>,
    trail: &'t Trail<'t>,
    strictness: Strictness,
}

impl<'de> Entries<'de, '_> {
    fn next_entry(&mut self) -> Result<Option<&'de Entry>, Fault> {
        while let Some((entry, rest)) = self.entries.split_first() {
            self.entries = rest;
            let Some((name, fields)) = self.of else { return Ok(Some(entry)) };
            let known = fields.contains(&entry.key.as_str());
            match self.strictness {
                Strictness::Lenient if entry.value.is_null() => {}
                Strictness::Lenient if !known => {
                    if let Some(meant) = misspelt::meant(name, &entry.key, fields) {
                        let message = format!("unknown field {}; did you mean {meant}?", quoted(&entry.key));
                        return Err(self.refuse(entry, &message));
                    }
                }
                Strictness::Strict if !known => {
                    return Err(self.refuse(entry, &unknown_field(&entry.key, fields)));
                }
                Strictness::Strict if entry.value.is_null() => {
                    let path = Trail { outer: Some(self.trail), step: Step::Key(&entry.key) };
                    let fault = Fault::new("this field is empty; give it a value, or remove it");
                    return Err(fault.or_at(entry.position, || path.path()));
                }
                _ => return Ok(Some(entry)),
            }
        }
        Ok(None)
    }

    fn refuse(&self, entry: &Entry, message: &str) -> Fault {
        Fault::new(message).or_at(entry.position, || self.trail.path())
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(entry) = self.next_entry()? else { return Ok(None) };
        self.current = Some(entry);
        let trail = Trail { outer: Some(self.trail), step: Step::Key(&entry.key) };
        seed.deserialize(Name(&entry.key))
            .map(Some)
            .map_err(|fault| fault.or_at(entry.position, || trail.path()))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some(entry) = self.current.take() else { return Err(Fault::custom("a value without a key")) };
        let trail = Trail { outer: Some(self.trail), step: Step::Key(&entry.key) };
        let value =
            seed.deserialize(Cursor { tree: &entry.value, trail: &trail, strictness: self.strictness });
        value.map_err(|fault| fault.or_at(entry.value.position, || trail.path()))
    }
}

/// A map's key, or the name of an enum's variant.
struct Name<'de>(&'de str);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.0)
    }

    /// The only numeric keys are ports.
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let port = match self.0.parse() {
            Ok(number) => fields::port_number(number).map_err(|message| Fault::new(&message))?,
            Err(_) => {
                return Err(Fault::new(&format!(
                    "{} is not a port; use a port from 1 to 65535",
                    quoted(self.0)
                )));
            }
        };
        visitor.visit_u16(port)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Name<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let name: serde::de::value::BorrowedStrDeserializer<'de, Fault> =
            serde::de::value::BorrowedStrDeserializer::new(self.0);
        Ok((seed.deserialize(name.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for Name<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Fault> {
        Err(Fault::custom("a value that is only a name is not enough here"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::custom("a value that is only a name is not enough here"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(Fault::custom("a value that is only a name is not enough here"))
    }
}
