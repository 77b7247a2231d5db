//! What are the steps of an nf_tables rule, and how do they look on the wire?

use std::collections::BTreeMap;

use crate::netlink::{Attributes, Message};

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

/// One attribute of a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    /// A number in network order: a register, key, operation or flag.
    Number(u32),
    /// Bytes to compare with, or to load, in the order of the packet or the host as the key demands.
    Data(Vec<u8>),
    /// What becomes of the packet.
    Verdict(i32),
}

/// One step of a rule: its name and its attributes by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expression {
    name: String,
    attributes: BTreeMap<u16, Value>,
}

impl Expression {
    pub(super) fn new(name: &str, attributes: impl IntoIterator<Item = (u16, Value)>) -> Self {
        Self { name: name.to_owned(), attributes: attributes.into_iter().collect() }
    }

    pub(super) fn encode(&self, message: &mut Message) {
        message.text(EXPR_NAME, &self.name);
        message.nest(EXPR_DATA, |message| {
            for (kind, value) in &self.attributes {
                match value {
                    Value::Number(number) => message.network(*kind, *number),
                    Value::Data(bytes) => message.nest(*kind, |m| m.attribute(DATA_VALUE, bytes)),
                    Value::Verdict(code) => message.nest(*kind, |m| {
                        m.nest(DATA_VERDICT, |m| m.network(VERDICT_CODE, *code as u32));
                    }),
                }
            }
        });
    }

    /// Reads a step that the kernel dumped, in the form we would have written: what the kernel adds by itself is
    /// left out, everything else is kept. `None` when it is malformed.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let attributes = Attributes::new(body);
        let name = attributes.text(EXPR_NAME)?;
        if name == "counter" {
            return Some(Self::new(&name, []));
        }
        let known = last_known(&name);
        let mut read = BTreeMap::new();
        for (kind, value) in Attributes::new(attributes.value(EXPR_DATA).unwrap_or_default()) {
            if known.is_none_or(|last| kind <= last) {
                read.insert(kind, decode_value(&name, kind, value)?);
            }
        }
        if name == "bitwise" && read.get(&6) == Some(&Value::Number(0)) {
            read.remove(&6);
        }
        if name == "redir" && read.get(&1) == read.get(&2) {
            read.remove(&2);
        }
        Some(Self { name, attributes: read })
    }
}

/// The highest attribute whose meaning we know; later kernels may add more.
fn last_known(name: &str) -> Option<u16> {
    match name {
        "meta" | "cmp" | "redir" => Some(3),
        "payload" => Some(8),
        "immediate" => Some(2),
        "bitwise" => Some(7),
        "ct" => Some(4),
        _ => None,
    }
}

fn decode_value(name: &str, kind: u16, value: &[u8]) -> Option<Value> {
    let nested = matches!((name, kind), ("cmp", 3) | ("bitwise", 4 | 5) | ("immediate", 2));
    if nested {
        let data = Attributes::new(value);
        if let Some(verdict) = data.value(DATA_VERDICT) {
            return Attributes::new(verdict).network(VERDICT_CODE).map(|code| Value::Verdict(code as i32));
        }
        return data.value(DATA_VALUE).map(|bytes| Value::Data(bytes.to_vec()));
    }
    match <[u8; 4]>::try_from(value) {
        Ok(bytes) => Some(Value::Number(u32::from_be_bytes(bytes))),
        Err(_) => Some(Value::Data(value.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::super::super::{Action, Families, Mark, Match, Protocol, Rule};
    use super::super::compile::compile;
    use super::*;

    fn written(expression: &Expression) -> Vec<u8> {
        let mut message = Message::default();
        expression.encode(&mut message);
        message.bytes().to_vec()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u32, mask: u32, port: u16, is: bool, address: [u8; 16], choice in 0..6usize) {
            let mark = Mark { value, mask };
            let rule = Rule {
                families: Families::V6,
                matches: vec![
                    Match::Protocol(Protocol::Tcp),
                    Match::Destination(address.into(), is),
                    Match::DestinationPort(port, is),
                    Match::Mark(mark, is),
                    Match::ConnectionMark(mark),
                    Match::Output("eth0".parse().unwrap(), is),
                ],
                action: [
                    Action::Accept,
                    Action::Return,
                    Action::Redirect(port),
                    Action::SetConnectionMark(mark),
                    Action::RestoreMark,
                    Action::Zone(port),
                ][choice],
                comment: "",
            };
            for step in compile(&rule) {
                assert_eq!(Expression::decode(&written(&step)), Some(step));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Expression::decode(&bytes);
        }

        #[test]
        fn a_changed_value_is_another_step(at in 0..3usize, offset in 0..4usize, by in 1..=255u8) {
            let values = [(1, Value::Number(1)), (2, Value::Number(0)), (3, Value::Data(vec![7; 4]))];
            let step = Expression::new("cmp", values);
            let mut bytes = written(&step);
            // Name: 8 bytes; nest: 4; then a header of 4 before each value, and one more before nested data.
            bytes[[16, 24, 36][at] + offset] ^= by;
            let read = Expression::decode(&bytes);
            assert!(read.is_some_and(|read| read != step));
        }
    }
}
